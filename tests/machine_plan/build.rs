//! Generations of one small machine, compiled from declarations that a test edits.

use super::fixture::{self, edit, name};
use super::simulator::Generation;
use leafwright::compile::{self, Closure};
use leafwright::identity::PublicIdentity;
use leafwright::name::{ByteSize, Duration};
use leafwright::resolve::{File, Machine, Options, Unit};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The office of the fixture: two instances of `todos`, one of `web`.
pub fn closure(change: impl FnOnce(&mut Options), ca: &str) -> Closure {
    let mut domain = fixture::alone().domain;
    edit(&mut domain, "office", |office: &mut Machine| {
        // They ask services that a change may take away.
        office.options.gates.clear();
        change(&mut office.options);
    });
    let mut identity = identity().clone();
    identity.ca = format!("-----BEGIN CERTIFICATE-----\n{ca}\n-----END CERTIFICATE-----\n");
    let checked = compile::domain(&domain, &identity);
    assert!(!checked.report.has_errors(), "{:?}", checked.report);
    checked.value.unwrap().machines.remove("office").unwrap()
}

/// Keys for everyone that any of these declarations has, made once: they are what takes time here.
fn identity() -> &'static PublicIdentity {
    static IDENTITY: OnceLock<PublicIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let mut domain = fixture::alone().domain;
        edit(&mut domain, "office", |office: &mut Machine| clock(&mut office.options));
        fixture::identity(&domain)
    })
}

pub fn generation(change: impl FnOnce(&mut Options)) -> Generation {
    Generation::of(&closure(change, "one"))
}

/// `units."<name>"` from lines such as `Timer.OnCalendar=daily`.
pub fn unit(options: &mut Options, name: &str, lines: &[&str]) {
    let unit = options.units.entry(name.to_owned()).or_default();
    lines.iter().for_each(|line| directive(unit, line));
}

pub fn directive(unit: &mut Unit, line: &str) {
    let (place, value) = line.split_once('=').unwrap();
    let (section, directive) = place.split_once('.').unwrap();
    unit.entry(section.to_owned()).or_default().entry(directive.to_owned()).or_default().push(value.to_owned());
}

pub fn file(options: &mut Options, path: &str, text: &str) {
    let file = File { text: Some(text.to_owned()), template: None, values: BTreeMap::new(), mode: "0644".to_owned() };
    options.files.insert(path.to_owned(), file.into());
}

pub fn service<'a>(options: &'a mut Options, service: &str) -> &'a mut leafwright::resolve::Service {
    options.services.get_mut(service).unwrap()
}

pub fn size(bytes: u64) -> ByteSize {
    ByteSize::bytes(bytes)
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::secs(seconds)
}

/// A third service, which answers nothing.
pub fn clock(options: &mut Options) {
    options.services.insert(name!("clock"), fixture::service("web", &["/bin/true", "tick"]).into());
}

pub fn timer(options: &mut Options, when: &str, exec: &str) {
    unit(options, "tidy.timer", &[&format!("Timer.OnCalendar={when}"), "Install.WantedBy=timers.target"]);
    unit(options, "tidy.service", &["Service.Type=oneshot", &format!("Service.ExecStart={exec}")]);
}

pub fn socket(options: &mut Options, listen: &str) {
    unit(options, "talk.socket", &[&format!("Socket.ListenStream={listen}"), "Install.WantedBy=sockets.target"]);
    unit(options, "talk.service", &["Service.ExecStart=/bin/talk"]);
}

pub fn once(options: &mut Options, exec: &str) {
    let lines = ["Service.Type=oneshot", &format!("Service.ExecStart={exec}"), "Install.WantedBy=leafwright.target"];
    unit(options, "once.service", &lines);
}

pub fn watch(options: &mut Options, path: &str) {
    unit(options, "look.path", &[&format!("Path.PathChanged={path}"), "Install.WantedBy=paths.target"]);
    unit(options, "look.service", &["Service.Type=oneshot", "Service.ExecStart=/bin/look"]);
}

pub fn lamp(options: &mut Options, lines: &[&str]) {
    unit(options, "lamp.service", lines);
    unit(options, "lamp.service", &["Install.WantedBy=leafwright.target"]);
}

pub fn chain(options: &mut Options, exec: &str) {
    let wanted = "Install.WantedBy=leafwright.target";
    unit(options, "a.service", &[&format!("Service.ExecStart={exec}"), wanted]);
    unit(
        options,
        "b.service",
        &["Service.ExecStart=/bin/b", "Unit.Requires=a.service", "Unit.After=a.service", wanted],
    );
    unit(options, "c.service", &["Service.ExecStart=/bin/c", "Unit.BindsTo=b.service", "Unit.After=b.service", wanted]);
}
