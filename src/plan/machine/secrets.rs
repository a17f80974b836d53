//! The secret files that a machine must have, from the references in its closure: which key goes into which file, whose
//! that is, and who must start again when it changes.
//!
//! Refuses: a reference that it does not know, and a file that others could read. Secret bytes are the host's.

use super::content::Content;
use super::model::{Act, MachinePlan, MachineStep, Observation, Why};
use crate::compile::credentials::Credential;
use crate::compile::units::NATS;
use crate::identity::UserId;
use crate::name::{MachineName, ServiceName};
use std::collections::BTreeSet;

/// One file, before it has a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// As the closure calls it: `leaf.creds`.
    pub name: String,
    /// Absolute, on the machine.
    pub path: String,
    pub mode: u32,
    pub owner: String,
    /// Units that read it.
    pub readers: Vec<String>,
    /// The name that is in it where it is encrypted for the machine.
    pub encrypted_as: Option<String>,
    pub holds: Holds,
}

/// What goes into a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The JWT of this user, and the seed of its key.
    Creds(UserId),
    /// The seed of this user's key.
    Seed(UserId),
    /// The private key of the server's certificate.
    ServerKey,
}

/// A reference that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub name: String,
    pub why: &'static str,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the credential `{}` of the closure {}", self.name.escape_debug(), self.why)
    }
}

impl std::error::Error for Fault {}

/// The files of `machine`, in the order of its closure.
pub fn files(machine: &MachineName, credentials: &[Credential]) -> Result<Vec<SecretFile>, Fault> {
    credentials.iter().map(|credential| file(machine, credential)).collect()
}

fn file(machine: &MachineName, credential: &Credential) -> Result<SecretFile, Fault> {
    let fault = |why| Fault { name: credential.name.clone(), why };
    let mode = u32::from_str_radix(&credential.mode, 8).map_err(|_| fault("has no mode in octal"))?;
    if mode & !0o700 != 0 {
        return Err(fault("has a mode that lets others reach it"));
    }
    if credential.encrypted_as.as_ref().is_some_and(|name| !is_word(name)) {
        return Err(fault("is encrypted under what is no name"));
    }
    let below = credential.path.strip_prefix('/').ok_or(fault("has no absolute path"))?;
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(fault("has a path that leads astray"));
    }
    Ok(SecretFile {
        name: credential.name.clone(),
        path: credential.path.clone(),
        mode,
        owner: credential.owner.clone(),
        readers: credential.readers.clone(),
        encrypted_as: credential.encrypted_as.clone(),
        holds: holds(machine, &credential.name).ok_or(fault("is none that this leafwright knows"))?,
    })
}

/// As systemd-creds(1) takes it, and as nothing else reads it: no path, no option.
fn is_word(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

fn holds(machine: &MachineName, name: &str) -> Option<Holds> {
    match name {
        "leaf.creds" => Some(Holds::Creds(UserId::Leaf(machine.clone()))),
        "server.key" => Some(Holds::ServerKey),
        _ => {
            let service = name.strip_prefix("service-")?.strip_suffix(".nk")?;
            Some(Holds::Seed(UserId::Service(machine.clone(), ServiceName::parse(service).ok()?)))
        }
    }
}

/// The units that read one of the changed files, and no others.
pub fn readers(files: &[SecretFile], changed: &[String]) -> BTreeSet<String> {
    let read = files.iter().filter(|file| changed.contains(&file.name));
    read.flat_map(|file| file.readers.iter().cloned()).collect()
}

/// The plan with credentials that are not there as they must be: made after the users that own them, before anything that
/// reads them; what runs and reads them is told.
pub fn with(mut plan: MachinePlan, stale: &[SecretFile], seen: &Observation) -> MachinePlan {
    if stale.is_empty() {
        return plan;
    }
    let names: Vec<String> = stale.iter().map(|file| file.name.clone()).collect();
    let step = |id: &str, act, why| MachineStep { id: id.to_owned(), act, why };
    let why = match plan.from {
        None => Why::New,
        Some(_) => Why::Drifted { what: names.join(", ") },
    };
    let readers: BTreeSet<&String> = stale.iter().flat_map(|file| &file.readers).collect();
    let at = plan.before.iter().rposition(|step| comes_before(&step.act)).map_or(0, |last| last + 1);
    plan.before.insert(at, step("credentials/make", Act::Credentials { names: names.clone() }, why));
    for (unit, _) in seen.units.iter().filter(|(unit, seen)| seen.runs() && reads(unit, &readers)) {
        if plan.steps().any(|step| touches(&step.act, unit)) {
            continue;
        }
        let why = Why::Follows { what: names.clone() };
        // nats-server reads its certificate again when it is told, and its creds at every connection.
        match unit.as_str() {
            NATS => plan.before.push(step(&format!("unit/{unit}/reload"), Act::Reload { unit: unit.clone() }, why)),
            _ => plan.after.push(step(&format!("unit/{unit}/restart"), Act::Restart { unit: unit.clone() }, why)),
        }
    }
    plan
}

/// Secret files that the new content has no more: they go with the files of the old generation.
pub fn gone(old: &Content, new: &Content) -> Vec<MachineStep> {
    let stays: BTreeSet<&String> = new.credentials.iter().map(|credential| &credential.path).collect();
    let gone = old.credentials.iter().map(|credential| &credential.path).filter(|path| !stays.contains(path));
    let step = |path: &String| {
        let act = Act::RemoveCredential { path: path.clone() };
        MachineStep { id: format!("credential{path}/remove"), act, why: Why::Gone }
    };
    gone.map(step).collect()
}

fn comes_before(act: &Act) -> bool {
    matches!(act, Act::Place { .. } | Act::Link { .. } | Act::Users | Act::Stop { .. } | Act::Refuse { .. })
}

/// An instance reads what its template reads.
fn reads(unit: &str, readers: &BTreeSet<&String>) -> bool {
    readers.iter().any(|reader| *reader == unit || super::graph::template_of(unit).as_ref() == Some(*reader))
}

fn touches(act: &Act, name: &str) -> bool {
    match act {
        Act::Start { unit } | Act::Restart { unit } | Act::Reload { unit } => unit == name,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str) -> Credential {
        Credential {
            name: name.to_owned(),
            path: format!("/etc/leafwright/credentials/{name}"),
            mode: "0400".to_owned(),
            owner: "nats".to_owned(),
            readers: vec![format!("{name}.service")],
            what: String::new(),
            encrypted_as: None,
        }
    }

    #[test]
    fn each_reference_leads_to_a_key_and_its_readers() {
        let office = MachineName::parse("office").unwrap();
        let names = ["leaf.creds", "server.key", "service-to-dos.nk"];
        let files = files(&office, &names.map(credential)).unwrap();
        let service = UserId::Service(office.clone(), ServiceName::parse("to-dos").unwrap());
        let held: Vec<Holds> = files.iter().map(|file| file.holds.clone()).collect();
        assert_eq!(held, [Holds::Creds(UserId::Leaf(office)), Holds::ServerKey, Holds::Seed(service)]);
        assert_eq!(readers(&files, &["server.key".to_owned()]), ["server.key.service".to_owned()].into());
        assert_eq!(readers(&files, &[]), BTreeSet::new());
    }

    #[test]
    fn what_would_lead_astray_is_refused() {
        let office = MachineName::parse("office").unwrap();
        let with = |change: fn(&mut Credential)| {
            let mut one = credential("leaf.creds");
            change(&mut one);
            files(&office, &[one]).err().map(|fault| fault.why)
        };
        assert_eq!(with(|_| {}), None);
        assert_eq!(with(|one| one.name = "operator.nk".into()), Some("is none that this leafwright knows"));
        assert_eq!(with(|one| one.name = "service-../x.nk".into()), Some("is none that this leafwright knows"));
        assert_eq!(with(|one| one.mode = "0440".into()), Some("has a mode that lets others reach it"));
        assert_eq!(with(|one| one.mode = "4400".into()), Some("has a mode that lets others reach it"));
        assert_eq!(with(|one| one.mode = "rw".into()), Some("has no mode in octal"));
        assert_eq!(with(|one| one.encrypted_as = Some("--pretty".into())), Some("is encrypted under what is no name"));
        assert_eq!(with(|one| one.path = "etc/x".into()), Some("has no absolute path"));
        assert_eq!(with(|one| one.path = "/etc/../root/x".into()), Some("has a path that leads astray"));
    }
}
