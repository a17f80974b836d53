//! The two units that belong to no generation: one makes files and register agree before anything of ours is started,
//! one lets the gates decide on a generation that a boot has placed.
//!
//! Refuses: depending on a closure. They are written by whoever applies, and are there when a generation is not.

use super::below::{Below, Missing};
use super::lock::Lock;
use super::{Home, files, go_on};
use crate::compile::digest_of;
use crate::compile::quote::{self, Unwritable, specifiers, word};
use crate::plan::machine::SeenFile;
use crate::plan::machine::content::UNITS;
use anyhow::{Context as _, Result, anyhow};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub const BOOT: &str = "leafwright-boot.service";
pub const CONFIRM: &str = "leafwright-confirm.service";

/// As the machine will name it: an image is built below some directory that it never sees.
fn state_of(home: &Home) -> Result<&str> {
    home.state_there().to_str().context("the path of the state directory is no text")
}

/// Before nats-server, whatever systemd starts early (sockets, timers, paths), and everything of ours; after the file systems that
/// state and files lie on. `program` is a word of a command line.
fn boot(program: &str, state: &str) -> Result<String, Unwritable> {
    let (mounts, there, state) = (word(state)?, specifiers(state)?, word(state)?);
    Ok(format!(
        "[Unit]\n\
         Description=the generation that this machine is\n\
         DefaultDependencies=no\n\
         RequiresMountsFor={mounts} /etc\n\
         After=local-fs.target systemd-sysusers.service\n\
         Before=sysinit.target basic.target nats-server.service leafwright.target shutdown.target\n\
         Conflicts=shutdown.target\n\
         ConditionPathExists={there}/state.json\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={program} machine boot --state {state}\n\
         TimeoutStartSec=120\n"
    ))
}

/// Beside the rest of the boot, which may hang for ever. A gate may take an hour (`gates.*.within`); the boot has five minutes, all
/// gates two, and the way back five. One that did not come to a decision is started again, until it does: nobody else is there.
fn confirm(program: &str, state: &str) -> Result<String, Unwritable> {
    let (there, state) = (specifiers(state)?, word(state)?);
    Ok(format!(
        "[Unit]\n\
         Description=the gates of a generation that this boot tries\n\
         After={BOOT}\n\
         StartLimitIntervalSec=0\n\
         ConditionPathExists={there}/state.json\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart={program} machine confirm --state {state}\n\
         Restart=on-failure\n\
         RestartSec=15\n\
         RuntimeMaxSec=4500\n"
    ))
}

/// The text of a unit, of the program and the state directory.
type Text = fn(&str, &str) -> Result<String, Unwritable>;

const UNITS_OF_OURS: [(&str, Text, &str); 2] = [(BOOT, boot, "basic.target"), (CONFIRM, confirm, "multi-user.target")];

fn link(target: &str, unit: &str) -> (String, String) {
    (format!("{UNITS}{target}.wants/{unit}"), format!("../{unit}"))
}

/// Is it one of theirs, by a file or a link?
pub fn owns(path: &str) -> bool {
    UNITS_OF_OURS.iter().any(|(unit, _, target)| path == format!("{UNITS}{unit}") || path == link(target, unit).0)
}

/// Writes both and enables them; says whether anything was new. What is there already is not written again.
pub fn install(home: &Home, lock: &Lock, program: &Path) -> Result<Installed> {
    let state = state_of(home)?;
    let refused = |unwritable: Unwritable| anyhow!("{} cannot be started by systemd: {unwritable}", program.display());
    let program = quote::program(program.to_str().context("the path of this program is no text")?).map_err(refused)?;
    let mut below = Below::open(home.root())?;
    let mut installed = Installed::AsItWas;
    let mut links = vec![];
    for (unit, text, target) in UNITS_OF_OURS {
        let text = text(&program, state).map_err(refused)?;
        let (path, to) = link(target, unit);
        links.push(files::Change::Link { path, to });
        let path = format!("{UNITS}{unit}");
        let spot = below.spot(&path, Missing::Make)?.context("its directory was made")?;
        if matches!(spot.look()?, Some(SeenFile::File { digest, .. }) if digest == digest_of(text.as_bytes())) {
            continue;
        }
        spot.write_for_good(text.as_bytes(), 0o644, files::owner(0, 0))?;
        installed = Installed::Anew;
    }
    files::place_all(home, lock, &links, &mut go_on)?;
    Ok(installed)
}

/// What is wrong with them, in a sentence each; whichever program they name, if it is there.
pub fn faults(home: &Home) -> Result<Vec<String>> {
    let state = state_of(home)?;
    let mut faults = vec![];
    for (unit, text, target) in UNITS_OF_OURS {
        let path = home.root().join(format!("{UNITS}{unit}").trim_start_matches('/'));
        let (wants, to) = link(target, unit);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => faults.push(format!("{unit} is not there")),
            Err(error) => faults.push(format!("{unit} cannot be read: {error}")),
            Ok(found) => {
                let program = program_of(&found);
                let wanted = program.and_then(|program| text(program, state).ok());
                match program.map(plain) {
                    Some(program) if wanted.as_deref() == Some(&found) => {
                        if !is_program(Path::new(&program)) {
                            faults.push(format!("{unit} starts {program}, which is no program"));
                        }
                    }
                    _ => faults.push(format!("{unit} is not as it was written")),
                }
            }
        }
        let wants = home.root().join(wants.trim_start_matches('/'));
        if fs::read_link(wants).ok().is_none_or(|found| found != Path::new(&to)) {
            faults.push(format!("{unit} is not wanted by {target}"));
        }
    }
    Ok(faults)
}

/// The first word of its command line, as it stands there.
fn program_of(unit: &str) -> Option<&str> {
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    line.split_once(" machine ").map(|(program, _)| program)
}

/// The path that a word of a command line means, for a path without quotes and backslashes in it.
fn plain(word: &str) -> String {
    word.trim_matches('"').replace("%%", "%")
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|is| is.is_file() && is.permissions().mode() & 0o111 != 0)
}

/// Whether the manager must read unit files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    AsItWas,
    Anew,
}
