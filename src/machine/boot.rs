//! What a boot does: before anything of ours is started the files of the generation that the machine is to be, and after it the gates of
//! one that it tries.
//!
//! Refuses: keeping a generation of which a gate does not hold, and waiting for a boot that does not come to its end.

use super::history::{self, End};
use super::link;
use super::recover::{DEAD, back, dismiss, door, generations, left, plan_to, recover, tidy};
use super::rollback::monitor_of;
use super::{generation, on_its_way_out};
use crate::apply::machine::{self, Count, Generation, Returned, Wait};
use crate::host::door::Door as _;
use crate::host::link::OverLink;
use crate::host::machine::generations as records;
use crate::host::machine::lock;
use crate::host::machine::real::{Boot, Manager, Real};
use crate::host::machine::register::{self, Mode, Pending, Phase};
use crate::host::machine::transitions::AtBoot;
use crate::host::machine::{Home, room};
use crate::host::systemd::Systemd;
use crate::plan::machine::{Act, Content};
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;

/// Between two questions to a systemd that still boots.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a boot, and then the gates of a generation that it tries, have.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Then the gates are looked at even so.
    pub booting: Duration,
    pub within: Duration,
    pub steady: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [booting, within, steady] = [300, 120, 5].map(Duration::from_secs);
        Self { booting, within, steady }
    }
}

/// What a boot did before anything of ours was started.
#[derive(Debug)]
pub enum Booted {
    /// The machine is what it must be.
    AsItWas,
    Returned(Returned),
    /// A generation was placed that this boot is to try.
    Trying(u64),
}

/// Before anything of ours is started: the files of the generation that the machine is to be.
pub async fn at_boot(home: &Home) -> Result<Booted> {
    let lock = lock::take_within(home.state(), "boot", DEAD)?;
    let Some(mut register) = register::read(home)? else { return Ok(Booted::AsItWas) };
    let boot = Boot::this()?;
    // A machine starts whether its history can be written or not.
    let _told_by_the_next_apply = history::settle(home, &lock, &register);
    let before = register.clone();
    let Patience { booting, within, .. } = Patience::default();
    let what = register.boot(boot.watch(booting + within)?)?;
    if register != before {
        // A disk that is full is no reason to be neither of both.
        room::give_back(home, &lock)?;
        register::write(home, &lock, &register)?;
    }
    if what == AtBoot::Stay && register.leaving.is_none() {
        return Ok(Booted::AsItWas);
    }
    let (active, pending) = (register.active_generation(), register.pending.clone());
    // No bus runs yet.
    let systemd = Systemd::connect_directly().await?;
    let mut door = door(home, &lock, register, systemd, Manager::Boots)?;
    if what == AtBoot::Stay {
        let stays = active.map(|active| generation(home, active)).transpose()?;
        tidy(&mut door, stays.as_ref()).await?;
        return Ok(Booted::AsItWas);
    }
    let pending = pending.context("a boot has something to do, and nothing is pending")?;
    let new = match &pending.phase {
        Phase::Returning { reason } => Err(reason.clone()),
        // One that is damaged is not tried.
        Phase::Activating => generation(home, pending.to).map_err(|error| format!("{error:#}")),
    };
    let new = match new {
        Ok(new) => new,
        Err(reason) => {
            let (old, new) = generations(home, pending.from, pending.to)?;
            let returned = back(&mut door, old.as_ref(), &new, &reason).await?;
            let nothing = Content::default();
            let stays = old.as_ref().map_or(&nothing, |old| &old.content);
            dismiss(&door, &new.content.units_gone(stays)).await;
            tidy(&mut door, old.as_ref()).await?;
            return Ok(Booted::Returned(returned));
        }
    };
    // A boot goes on without it: nobody is there who could make room.
    let _without = room::keep(home, &lock);
    let old = pending.from.map(|from| generation(home, from)).transpose()?;
    let plan = plan_to(&mut door, old.as_ref().map(|old| &old.content), &new).await?;
    // Jobs are systemd's own while it boots: the door knows.
    let steps: Vec<_> = plan.before.iter().chain(&plan.after).cloned().collect();
    let mut count = Count { done: 0, of: steps.len() };
    machine::carry_out(&mut door, new.number, &steps, &mut count, &mut |_| ()).await?;
    if let Some(old) = &old {
        dismiss(&door, &old.content.units_gone(&new.content)).await;
    }
    // With another leafwright the generation is the same; who looks at `generations` sees which one it was made by.
    let _stays_as_it_is = door.own_program(new.number).await;
    tidy(&mut door, Some(&new)).await?;
    Ok(Booted::Trying(pending.to))
}

/// What became of a generation that a boot tried.
#[derive(Debug)]
pub enum Confirmed {
    Committed(u64),
    Returned(Returned),
}

/// After a boot that placed a generation: its gates decide. `None`: this boot tries nothing.
pub async fn confirm(home: &Home, patience: Patience) -> Result<Option<Confirmed>> {
    let lock = lock::take_within(home.state(), "confirmation after a boot", DEAD)?;
    let Some(register) = register::read(home)? else { return Ok(None) };
    let Some(pending) = register.pending.clone() else {
        left(home, &lock, register).await?;
        return Ok(None);
    };
    if pending.mode != Mode::Boot || pending.phase != Phase::Activating {
        let reason = "its boot ended before it was committed";
        let returned = recover(Manager::Runs, home, &lock, register, reason).await?;
        if let Some(register) = register::read(home)? {
            left(home, &lock, register).await?;
        }
        return Ok(returned.map(Confirmed::Returned));
    }
    let door = door(home, &lock, register, Systemd::connect().await?, Manager::Runs)?;
    let mut door = door.with_link(link::nowhere().0);
    let end = door.clock() + patience.booting;
    // A unit that hangs while it starts keeps systemd from saying that it has booted.
    while door.systemd.is_booting().await.unwrap_or(false) && door.clock() < end {
        door.pause(PAUSE).await;
    }
    let committed = match proved(&mut door, &pending, patience).await {
        Ok(new) => door.commit().await.map(|()| new).context("the commit cannot be written"),
        Err(error) => Err(error),
    };
    match committed {
        Ok(new) => {
            let committed = End::Committed { but: None };
            let _told_by_the_next_apply = history::ended(home, &lock, pending.from, pending.to, &committed);
            tidy(&mut door, Some(&new)).await?;
            Ok(Some(Confirmed::Committed(new.number)))
        }
        // What cannot be proved is not kept.
        Err(error) => {
            let (old, new) = generations(home, pending.from, pending.to)?;
            let returned = back(&mut door, old.as_ref(), &new, &format!("{error:#}")).await?;
            tidy(&mut door, old.as_ref()).await?;
            Ok(Some(Confirmed::Returned(returned)))
        }
    }
}

/// The generation that a boot placed, if it is there whole and every gate holds that held before the boot.
async fn proved(door: &mut Real<'_, OverLink>, pending: &Pending, patience: Patience) -> Result<Generation> {
    let home = door.home;
    let new = generation(home, pending.to)?;
    tidy(door, Some(&new)).await?;
    let failing = records::read(home, new.number)?.failing;
    // Where nobody looked before the boot, the link decides nothing.
    let (link, reach) = match failing {
        Some(_) => link::of_generation(home, new.number).context("its link cannot be proved")?,
        None => link::nowhere(),
    };
    (door.link, door.monitor) = (link, monitor_of(&new));
    let old = pending.from.map(|from| on_its_way_out(home, from)).transpose()?;
    // What was to go may be somebody else's again by now; what is left of ours goes after the commit.
    let left = machine::files_of(&plan_to(door, old.as_ref().map(|old| &old.content), &new).await?);
    let left = left.iter().filter(|step| !matches!(step.act, Act::Remove { .. })).count();
    ensure!(left == 0, "the boot could not place it: {left} of its files differ");
    let (gates, before) = link::before_boot(&new.content, failing.as_ref(), reach);
    let Patience { within, steady, .. } = patience;
    let wait = Wait { gates: &gates, before: &before, within, end: door.clock() + within, steady };
    machine::hold(door, &wait, &mut |_| ()).await?;
    Ok(new)
}
