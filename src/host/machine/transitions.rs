//! How the register changes: begin, commit, return, boot, stage, pin. Pure: what holds before and after, and nothing else.
//!
//! Refuses: two changes at once, a commit of what is not pending any more, and numbers that were never given.

use super::register::{Active, Mode, Pending, Phase, Register, Returned};
use anyhow::{Result, bail, ensure};

/// By what a change is known, and until when it has to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    pub nonce: String,
    pub boot_id: String,
    /// Milliseconds of CLOCK_BOOTTIME.
    pub deadline: u64,
}

/// What a boot has to do; `pending` has the particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtBoot {
    /// The machine is what it must be.
    Stay,
    /// Place `pending.from`, then `end_return`.
    Return,
    /// Place `pending.to`, let the gates decide, then `commit` or `begin_return`.
    Activate,
}

impl Register {
    /// The number of the next generation; it is never given again.
    pub fn allot(&mut self) -> u64 {
        self.highest += 1;
        self.highest
    }

    /// Before the first effect: from what is active to `to`, which may be the same when a machine is mended.
    pub fn begin(&mut self, to: u64, mode: Mode, watch: Watch) -> Result<()> {
        self.refuse_pending()?;
        self.must_know(to)?;
        ensure!(mode != Mode::Boot, "a generation for the next boot is staged; only a boot begins it");
        self.set_pending(self.active_generation(), to, mode, watch);
        Ok(())
    }

    /// All gates passed: `to` is active, and current unless it is a test. What was staged for the next boot is older than this and is dropped.
    pub fn commit(&mut self, nonce: &str, boot_id: &str) -> Result<()> {
        let Some(pending) = &self.pending else { bail!("nothing is pending that could be committed") };
        ensure!(pending.nonce == nonce, "generation {} is pending by somebody else's apply", pending.to);
        ensure!(pending.boot_id == boot_id, "generation {} was begun before the machine was restarted", pending.to);
        if let Phase::Returning { reason } = &pending.phase {
            bail!("generation {} cannot be committed: the machine returns from it, because {reason}", pending.to);
        }
        if let Some(left) = self.leaving.filter(|left| Some(*left) != pending.from) {
            bail!(
                "generation {} cannot be committed: something of generation {left} is still on the machine",
                pending.to
            );
        }
        let to = pending.to;
        if pending.mode != Mode::Test {
            self.current = Some(to);
            self.next = None;
        }
        self.leaving = pending.from.filter(|from| *from != to);
        // What did not hold before this is history.
        self.returned = None;
        self.active = Some(Active { generation: to, boot_id: boot_id.to_owned() });
        self.pending = None;
        Ok(())
    }

    /// Nothing is on the machine any more of the generation that the last commit left.
    pub fn tidied(&mut self) {
        self.leaving = None;
    }

    /// `to` does not hold. Who finds a return that was begun goes on with it; the first reason stays.
    pub fn begin_return(&mut self, reason: &str) -> Result<()> {
        let Some(pending) = &mut self.pending else { bail!("nothing is pending that the machine could return from") };
        if pending.phase == Phase::Activating {
            pending.phase = Phase::Returning { reason: reason.to_owned() };
        }
        Ok(())
    }

    /// `from` is placed again.
    pub fn end_return(&mut self, boot_id: &str) -> Result<()> {
        let Some(pending) = &self.pending else {
            bail!("nothing is pending that the machine could have returned from")
        };
        let Phase::Returning { reason } = &pending.phase else {
            bail!("generation {} is being activated; the machine does not return from it", pending.to)
        };
        self.returned = Some(Returned { from: pending.to, to: pending.from, reason: reason.clone() });
        self.active = pending.from.map(|generation| Active { generation, boot_id: boot_id.to_owned() });
        self.pending = None;
        Ok(())
    }

    /// What has to be done in the boot that `watch` names. A change that was interrupted is returned from, and what is staged waits for
    /// the boot after. Run again in the same boot it ends no test and tries nothing; only where nothing of ours is active are boots not told apart.
    pub fn boot(&mut self, watch: Watch) -> Result<AtBoot> {
        let another_boot = |boot_id: &str| boot_id != watch.boot_id;
        if let Some(pending) = &mut self.pending {
            let reason = match another_boot(&pending.boot_id) {
                true => format!("the machine was restarted before generation {} was committed", pending.to),
                false => format!("the apply of generation {} ended before it was committed", pending.to),
            };
            if another_boot(&pending.boot_id) && pending.from != self.current {
                // It came from a test, which does not outlive its boot; what only the test had is still there.
                self.leaving = pending.from;
                pending.from = self.current;
            }
            self.begin_return(&reason)?;
            return Ok(AtBoot::Return);
        }
        if self.active.as_ref().is_some_and(|active| !another_boot(&active.boot_id)) {
            return Ok(AtBoot::Stay);
        }
        if let Some(next) = self.next.take() {
            let test = self.active_generation().filter(|active| Some(*active) != self.current);
            self.leaving = test.or(self.leaving);
            self.set_pending(self.current, next, Mode::Boot, watch);
            return Ok(AtBoot::Activate);
        }
        match &mut self.active {
            Some(active) if Some(active.generation) != self.current => {
                let test = active.generation;
                self.set_pending(self.current, test, Mode::Test, watch);
                self.begin_return(&format!("generation {test} was a test, which lasts until the next boot"))?;
                return Ok(AtBoot::Return);
            }
            Some(active) => active.boot_id = watch.boot_id,
            None => {}
        }
        Ok(AtBoot::Stay)
    }

    /// The next boot tries `to`, or stays with what is current; what was staged before it is dropped.
    pub fn stage(&mut self, to: u64) -> Result<()> {
        self.refuse_pending()?;
        self.must_know(to)?;
        if self.current == Some(to) {
            ensure!(self.next.take().is_some(), "generation {to} is current: the next boot has it anyway");
            return Ok(());
        }
        self.next = Some(to);
        Ok(())
    }

    /// The next boot tries nothing.
    pub fn unstage(&mut self) -> Result<u64> {
        match self.next.take() {
            Some(staged) => Ok(staged),
            None => bail!("no generation is staged for the next boot"),
        }
    }

    pub fn pin(&mut self, number: u64) -> Result<()> {
        self.must_know(number)?;
        ensure!(self.pinned.insert(number), "generation {number} is pinned already");
        Ok(())
    }

    pub fn unpin(&mut self, number: u64) -> Result<()> {
        ensure!(self.pinned.remove(&number), "generation {number} is not pinned");
        Ok(())
    }

    fn set_pending(&mut self, from: Option<u64>, to: u64, mode: Mode, watch: Watch) {
        let Watch { nonce, boot_id, deadline } = watch;
        self.pending = Some(Pending { from, to, mode, nonce, boot_id, deadline, phase: Phase::Activating });
    }

    fn refuse_pending(&self) -> Result<()> {
        match &self.pending {
            None => Ok(()),
            Some(pending) => bail!(
                "generation {} is pending\nhelp: let its apply end; where it has died, the watchdog or a restart of leafwright-boot.service returns from it",
                pending.to
            ),
        }
    }

    fn must_know(&self, number: u64) -> Result<()> {
        match (1..=self.highest).contains(&number) {
            true => Ok(()),
            false => bail!("there never was a generation {number}; the highest is {}", self.highest),
        }
    }
}
