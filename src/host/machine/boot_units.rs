//! The two units that belong to no generation: one makes files and register agree before anything of ours is started,
//! one lets the gates decide on a generation that a boot has placed.
//!
//! Refuses: depending on a closure. They are written by whoever applies, and are there when a generation is not.

use super::below::{Below, Missing};
use super::lock::Lock;
use super::{Home, files, go_on};
use crate::compile::digest_of;
use crate::plan::machine::SeenFile;
use crate::plan::machine::content::UNITS;
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
    // As the machine will name it: an image is built below some directory that it never sees.
    let state = home.state_there().to_str().context("the path of the state directory is no text")?;
    let mut below = Below::open(home.root())?;
    let mut installed = Installed::AsItWas;
    for (unit, text) in [(BOOT, boot(program, state)), (CONFIRM, confirm(program, state))] {
        let path = format!("{UNITS}{unit}");
        let spot = below.spot(&path, Missing::Make)?.context("its directory was made")?;
        if matches!(spot.look()?, Some(SeenFile::File { digest, .. }) if digest == digest_of(text.as_bytes())) {
            continue;
        }
        spot.write_for_good(text.as_bytes(), 0o644, files::owner(0, 0))?;
        installed = Installed::Anew;
    }
    let link = |target: &str, unit: &str| files::Change::Link {
        path: format!("{UNITS}{target}.wants/{unit}"),
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
