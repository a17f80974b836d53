//! `keys make` and `keys enrol`: keys that are made on a machine and never leave it, and their public halves signed elsewhere.

use super::{Exit, WrongUsage, talk};
use crate::host::enrolment::{self, Enrolment, Refused};
use crate::host::keys::KeyStore;
use crate::host::{Provisioned, identity_files};
use crate::identity::enrol::Request;
use crate::identity::{Before, Wanted};
use crate::name::MachineName;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use time::OffsetDateTime;

/// A request is a few kilobytes; more is not read.
const LONGEST: u64 = 1 << 20;

/// On the machine: its keys, and the request on stdout.
pub fn make(directory: &Path, wanted: &Wanted, name: &str) -> Result<Exit> {
    let machine = declared(wanted, name)?;
    let made = enrolment::make(&KeyStore::create(directory)?, wanted, &machine)?;
    match made.made.as_slice() {
        [] => talk::say(&format!("nothing to do: {} has the keys of {machine}", directory.display())),
        made => talk::say(&format!("made in {}: {}", directory.display(), made.join(", "))),
    }
    talk::say(&format!("request of {machine}, fingerprint {}", made.request.fingerprint()));
    talk::say("it holds no secret: take it to the key store of the domain, and run `leafwright keys enrol FILE` there");
    talk::print(&made.text);
    Ok(Exit::Done)
}

fn declared(wanted: &Wanted, name: &str) -> Result<MachineName> {
    let mut known: Vec<&MachineName> =
        wanted.users.keys().filter_map(|user| user.made_on()).chain(wanted.servers.keys()).collect();
    known.sort();
    known.dedup();
    let found = known.iter().find(|machine| machine.as_str() == name).map(|machine| (*machine).clone());
    found.ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|machine| machine.as_str()).collect();
        WrongUsage(format!("there is no machine {name}; there are {}", known.join(", "))).into()
    })
}

/// The request, and which machine may get other keys.
pub struct Asked<'a> {
    pub text: &'a str,
    pub replace: Option<&'a str>,
}

/// Where the domain's keys are: the request judged, signed, and `identity/` written.
pub fn enrol(store: &KeyStore, wanted: &Wanted, before: Before<'_>, asked: &Asked<'_>, root: &Path) -> Result<Exit> {
    let replace = asked.replace.map(|name| declared(wanted, name)).transpose()?;
    let request = match Request::read(asked.text) {
        Ok(request) => request,
        Err(fault) => return Ok(refused(&format!("the request is refused: {fault}"))),
    };
    let machine = &request.machine;
    talk::say(&format!("request of {machine}, fingerprint {}", request.fingerprint()));
    let enrolment = Enrolment { store, wanted, before, replace: replace.as_ref() };
    let taken = match enrolment.take(&request, OffsetDateTime::now_utc()) {
        Err(error) if error.is::<Refused>() => return Ok(refused(&format!("{error:#}"))),
        other => other?,
    };
    if !taken.replaced.is_empty() {
        talk::say(&format!("replaced: {}; what was signed for the old keys is void", taken.replaced.join(", ")));
        talk::say(
            "the servers of the cluster know it when `account.jwt` is in their configuration: build and apply them",
        );
    }
    for file in &taken.useless {
        talk::say(&format!("{file} in this store is of no use any more: {machine} has a key of its own"));
    }
    written(&taken.provisioned, root)
}

fn refused(why: &str) -> Exit {
    talk::say(&format!("error: {why}"));
    Exit::Unsound
}

pub fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let say = || format!("cannot read {}", file.display());
    let read = match file == Path::new("-") {
        true => std::io::stdin().lock().take(LONGEST).read_to_string(&mut text),
        false => fs::File::open(file).with_context(say)?.take(LONGEST).read_to_string(&mut text),
    };
    read.with_context(say)?;
    Ok(text)
}

/// Writes `identity/` and says what changed, and what only a machine can mend.
pub fn written(done: &Provisioned, root: &Path) -> Result<Exit> {
    let identity = &done.identity;
    match identity_files::write(&root.join(identity_files::FOLDER), identity)?.as_slice() {
        [] => talk::say("nothing to do"),
        changed => {
            talk::say(&format!("generation {}: {} files of identity/ changed", identity.generation, changed.len()));
            changed.iter().for_each(|path| talk::print(&format!("identity/{path}\n")));
        }
    }
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    for user in &done.elsewhere {
        let whose = user.made_on().map_or("the domain".to_owned(), ToString::to_string);
        *kept.entry(whose).or_default() += 1;
    }
    for (whose, count) in kept {
        talk::say(&format!("kept: {count} keys of {whose} whose private halves are not in this store"));
    }
    for (machine, names) in &done.lacking {
        let names = names.join(", ");
        talk::say(&format!(
            "error: {machine} has no key for {names}: run `leafwright keys make {machine}` there and `leafwright keys enrol` here"
        ));
    }
    Ok(if done.lacking.is_empty() { Exit::Done } else { Exit::Unsound })
}
