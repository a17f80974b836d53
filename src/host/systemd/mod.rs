//! The door to systemd: its manager over D-Bus, or over its own socket where no bus runs.
//!
//! Refuses: decisions, and waiting without a deadline.

pub mod creds;

mod bus;
mod failure;
mod jobs;
mod observe;
mod private;
mod transient;

pub use bus::Refusal;
pub use failure::{Exit, JobFailure, JobsFailed};
pub use jobs::{JobResult, Verb};
pub use transient::{Property, Transient};

use anyhow::{Context, Result, anyhow};
use bus::{ANSWER, Bus, MANAGER, read};
use std::path::Path;
use std::time::Duration;

/// Reading all unit files again takes seconds on a machine with many.
const RELOAD: Duration = Duration::from_secs(180);

const NEEDS: &str = "this needs root on a machine whose init is systemd";

/// A connection to systemd. It does not come back by itself when the bus goes: connect again.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
}

/// Is systemd the init of this machine? (sd_booted(3))
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

impl Systemd {
    /// Over the system bus, or directly where there is none.
    pub async fn connect() -> Result<Self> {
        let bus = match Bus::system().await {
            Ok(bus) => bus,
            Err(error) => Bus::direct().await.map_err(|direct| {
                anyhow!("cannot reach systemd: over the system bus: {error:#}; directly: {direct:#}\nhelp: {NEEDS}")
            })?,
        };
        Ok(Self { bus })
    }

    /// Over systemd's own socket, for root alone: it needs no bus, starts none and waits for none, so what runs early in the
    /// boot takes this.
    pub async fn connect_directly() -> Result<Self> {
        let bus = Bus::direct().await;
        Ok(Self { bus: bus.map_err(|error| anyhow!("cannot reach systemd: {error:#}\nhelp: {NEEDS}"))? })
    }

    /// Is the connection systemd's own socket and not the bus?
    pub fn is_direct(&self) -> bool {
        self.bus.is_direct()
    }

    /// Makes the manager read unit files again.
    pub async fn daemon_reload(&self) -> Result<()> {
        self.bus.manager("Reload", &(), RELOAD).await.context("systemd did not reload its units")?;
        Ok(())
    }

    /// `running`, `degraded`, `starting`, `stopping`, `maintenance`, …
    pub async fn system_state(&self) -> Result<String> {
        self.bus.property(MANAGER, "SystemState").await.context("systemd does not say its state")
    }

    /// Has it not come to the end of the boot yet (systemd `manager.c`, manager_state)?
    pub async fn is_booting(&self) -> Result<bool> {
        Ok(matches!(self.system_state().await?.as_str(), "initializing" | "starting"))
    }

    /// The major version: `257`.
    pub async fn version(&self) -> Result<u32> {
        let text: String = self.bus.property(MANAGER, "Version").await.context("systemd does not say its version")?;
        major(&text).with_context(|| format!("systemd says that its version is {text:?}"))
    }

    /// Is it started at a boot by a link of its own? What systemd does not know is not.
    pub async fn is_enabled(&self, unit: &str) -> bool {
        let answer = self.bus.manager("GetUnitFileState", &(unit,), ANSWER).await;
        answer.is_ok_and(|answer| read::<String>(&answer).is_ok_and(|state| state.starts_with("enabled")))
    }

    /// Forgets that a unit failed, and how often it was started: without this the start limit refuses a unit that has just
    /// failed a few times.
    pub async fn reset_failed(&self, unit: &str) -> Result<()> {
        match self.bus.manager("ResetFailedUnit", &(unit,), ANSWER).await {
            Err(error) if error.downcast_ref().is_some_and(Refusal::is_no_such_unit) => Ok(()),
            answer => answer.map(|_| ()).with_context(|| format!("systemd does not reset {unit}")),
        }
    }
}

/// Distributions write `257.9-1~deb13u1`, `v255.4`, `258~rc1`.
fn major(version: &str) -> Option<u32> {
    let version = version.strip_prefix('v').unwrap_or(version);
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn versions_of_distributions_are_read() {
        let rows =
            [("257.9-1~deb13u1", Some(257)), ("v255", Some(255)), ("258~rc1", Some(258)), ("", None), ("next", None)];
        for (text, expected) in rows {
            assert_eq!(major(text), expected, "{text}");
        }
    }
}
