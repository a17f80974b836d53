//! `apply --root DIR`: the files of a machine below a directory that will be its root: an image, a container. No service
//! manager, no server, no keys: the first boot makes users and directories, and starts what is enabled.
//!
//! Refuses: starting anything, putting a secret into an image, and installing packages there: whoever makes the image does.

use super::apply::{Outcome, Talk, mend_store, stored};
use super::{Prepared, generation};
use crate::apply::machine::files_of;
use crate::host::machine::boot_units;
use crate::host::machine::real::change;
use crate::host::machine::register::{self, Active, Mode};
use crate::host::machine::{Home, files, generations, go_on};
use crate::host::packages;
use crate::plan::machine::packages as wanted;
use crate::plan::machine::{Content, Observation, SeenFile, between, paths_and_units};
use anyhow::{Result, bail};
use std::path::Path;

/// Whose boot an image had: none. The first real one differs.
const NO_BOOT: &str = "image";

/// `person` wants it; `program` is where leafwright will be on the machine.
pub fn apply_root(
    home: &Home,
    prepared: &Prepared,
    (person, program): (&str, &Path),
    talk: &mut dyn Talk,
) -> Result<Outcome> {
    let machine = prepared.machine.name.as_str();
    let lock = home.lock(&format!("apply of {machine}"))?;
    let mut register = register::open(home, machine)?;
    if let Some(pending) = &register.pending {
        bail!("generation {} is pending in {}: boot it, and let it end", pending.to, home.state().display());
    }
    mend_store(home, &lock, prepared, &register)?;
    let new = Content::of(&prepared.closure)?;
    let old = register.active_generation().map(|active| generation(home, active)).transpose()?;
    let (paths, _) = paths_and_units(old.as_ref().map(|old| &old.content), &new);
    let mut seen = files::look(home.root(), paths.iter().map(String::as_str))?;
    seen.values_mut().for_each(as_packed);
    let seen = Observation { files: seen, ..Observation::default() };
    let mut plan = between(old.as_ref().map(|old| &old.content), &new, &seen);
    plan.before = files_of(&plan);
    plan.after.clear();
    plan.last.retain(|step| matches!(step.act, crate::plan::machine::Act::Remove { .. }));
    let missing = wanted::missing(&new, &packages::look(home.root(), &wanted::names(&new))?);
    if !missing.is_empty() {
        talk.say(&format!(
            "not installed in {}: {}\n  help: whoever makes the image installs packages; else the first `apply` on the machine does",
            home.root().display(),
            missing.join(", ")
        ));
    }
    let same = old.as_ref().is_some_and(|old| old.content.digest == new.digest);
    if let (true, true, Some(generation)) = (plan.is_empty(), same, register.active_generation()) {
        return Ok(Outcome::NothingToDo { generation, plan: None });
    }
    talk.plan(&plan, None);
    if let Some(refused) = plan.refused().next() {
        bail!("nothing was done, because {}", crate::plan::machine::render::sentence(refused));
    }
    if !talk.agree()? {
        return Ok(Outcome::NotAgreed);
    }
    let number = match register.active_generation().filter(|_| same) {
        Some(active) => active,
        None => stored(home, &lock, prepared, (person, Mode::Persist, None), &mut register)?,
    };
    boot_units::install(home, &lock, program)?;
    let entry = home.entry(&generations::read(home, number)?.closure);
    let changes = plan.steps().map(|step| change(&entry, &step.act)).collect::<Result<Vec<_>>>()?;
    files::place_all(home, &lock, &changes, &mut go_on)?;
    register.active = Some(Active { generation: number, boot_id: NO_BOOT.to_owned() });
    register.current = Some(number);
    register::write(home, &lock, &register)?;
    Ok(Outcome::Applied { generation: number, steps: plan.steps().count(), mode: Mode::Persist })
}

/// Who builds an image without being root owns its files, until they are packed as root's.
fn as_packed(file: &mut SeenFile) {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if let SeenFile::File { uid, gid, .. } = file {
        if *uid == user.as_raw() {
            *uid = 0;
        }
        if *gid == group.as_raw() {
            *gid = 0;
        }
    }
}
