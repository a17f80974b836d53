//! Leafwright: use this configuration, use this hardware, I am this person, load it with these events.
//!
//! The flow, floor by floor: `load → declare → resolve → compile → observe → plan → apply → seed → verify`.
//! What is pure of it is below, on one screen, and `check` and `build` are just that. `foreground::prepare` walks the same floors with the
//! ports and the throwaway identity of `up`, and `foreground::bring_up` goes on from there with real servers.

pub mod name;
pub mod diag;
pub mod declare;
pub mod resolve;
pub mod identity;
pub mod compile;
pub mod plan;
pub mod host;
pub mod load;
#[cfg(feature = "world")]
pub mod apply;
#[cfg(feature = "world")]
pub mod seed;
#[cfg(feature = "world")]
pub mod verify;
#[cfg(feature = "world")]
pub mod foreground;
#[cfg(feature = "world")]
pub mod machine;
pub mod cli;

use compile::{Closure, Compiled, DesiredServer, Linked};
use declare::Declared;
use diag::{Checked, Report, Sources};
use identity::{PublicIdentity, Whose};
use resolve::{Domain, Machine};

/// A domain that was written, and what it means.
#[derive(Debug)]
pub struct Judged {
    pub declared: Declared,
    pub domain: Domain,
}

/// declare → resolve: the whole domain, or every mistake in it.
pub fn judge(sources: &Sources) -> Checked<Judged> {
    let mut written = declare::all(sources);
    written.report.absorb(resolve::rules::secrets(sources));
    written.then(|declared| {
        // `declare` has said what is wrong with domain.toml; without it every reference would lead nowhere.
        if declared.domain.is_none() {
            return Checked::new(None, diag::Report { rules_wait: true, ..diag::Report::default() });
        }
        let resolved = resolve::domain(&declared);
        resolved.map(|domain| Judged { declared, domain })
    })
}

/// `judge`, and what compiling would find wrong with files, gates and packages: all that is known without an identity.
/// The value is given back, because taking thousands of machines apart takes its time.
pub fn check(sources: &Sources) -> Checked<Judged> {
    let Checked { value, mut report } = judge(sources);
    if let Some(judged) = value.as_ref().filter(|_| !report.has_errors()) {
        report.absorb(compile::faults(&judged.domain));
    }
    Checked::new(value, report)
}

/// identity → compile: the closures of all machines and of the domain, with the identity that `keys sign` wrote.
pub fn build(judged: &Judged) -> Checked<Compiled> {
    signed(judged, Whose::Everybodys).then(|identity| build_for(&judged.domain, &identity))
}

/// identity → compile: the closure of one machine. Others may have no keys yet: a domain is brought up one by one.
pub fn build_machine(judged: &Judged, machine: &Machine) -> Checked<(Closure, DesiredServer)> {
    let signed = signed(judged, Whose::Of(&machine.name));
    signed.then(|identity| compile::machine(&Linked::new(&judged.domain), machine, &identity))
}

fn signed(judged: &Judged, whose: Whose<'_>) -> Checked<PublicIdentity> {
    let Judged { declared, domain } = judged;
    // One that is there and cannot be read has its own findings. That there is none, and new keys, would be wrong advice.
    if declared.identity_is_broken() {
        return Checked::new(None, Report::default());
    }
    identity::current(&compile::wanted(domain), declared.identity.as_ref(), domain.origin, whose)
}

/// compile, for an identity from elsewhere.
pub fn build_for(domain: &Domain, identity: &PublicIdentity) -> Checked<Compiled> {
    compile::domain(domain, identity)
}
