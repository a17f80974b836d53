//! The two units that belong to no generation: one makes files and register agree before anything of ours is started,
//! one lets the gates decide on a generation that a boot has placed.
//!
//! Refuses: depending on a closure. They are written by whoever applies, and are there when a generation is not.

use super::lock::Lock;
use super::{Home, files, go_on};
use crate::host::disk;
use anyhow::{Context as _, Result};
use std::path::Path;

pub const BOOT: &str = "leafwright-boot.service";
pub const CONFIRM: &str = "leafwright-confirm.service";

/// Before nats-server and everything of ours; after the file systems that state and files lie on.
fn boot(program: &str, state: &str) -> String {
    format!(
        "[Unit]\n\
         Description=the generation that this machine is\n\
         DefaultDependencies=no\n\
         RequiresMountsFor={state} /etc\n\
         After=local-fs.target systemd-sysusers.service\n\
         Before=basic.target nats-server.service leafwright.target shutdown.target\n\
         Conflicts=shutdown.target\n\
         ConditionPathExists={state}/state.json\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={program} machine boot --state {state}\n\
         TimeoutStartSec=120\n"
    )
}

/// A gate may take an hour (`gates.*.within`); all have two minutes, and the way back five.
fn confirm(program: &str, state: &str) -> String {
    format!(
        "[Unit]\n\
         Description=the gates of a generation that this boot tries\n\
         After={BOOT} leafwright.target multi-user.target\n\
         ConditionPathExists={state}/state.json\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={program} machine confirm --state {state}\n\
         TimeoutStartSec=4200\n"
    )
}

/// Writes both and enables them; says whether anything was new. What is there already is not written again.
pub fn install(home: &Home, lock: &Lock, program: &Path) -> Result<Installed> {
    let program = program.to_str().context("the path of this program is no text")?;
    let state = home.state().to_str().context("the path of the state directory is no text")?;
    let directory = home.root().join("etc/systemd/system");
    let mut installed = Installed::AsItWas;
    for (unit, text) in [(BOOT, boot(program, state)), (CONFIRM, confirm(program, state))] {
        let path = directory.join(unit);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        disk::write_for_good(&path, text.as_bytes(), 0o644)?;
        installed = Installed::Anew;
    }
    let link = |target: &str, unit: &str| files::Change::Link {
        path: format!("/etc/systemd/system/{target}.wants/{unit}"),
        to: format!("../{unit}"),
    };
    let links = [link("basic.target", BOOT), link("multi-user.target", CONFIRM)];
    files::place_all(home, lock, &links, &mut go_on)?;
    Ok(installed)
}

/// Whether the manager must read unit files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    AsItWas,
    Anew,
}
