//! What a person wants to know once the domain is up: what runs where, how to connect, what is loaded, how many copies.
//!
//! Refuses: finding anything out. It prints what it is given.

use serde::Serialize;
use std::fmt::Write;

#[derive(Debug, Serialize)]
pub struct Summary {
    pub format: u32,
    pub domain: String,
    pub cluster: Option<String>,
    /// From the start of the program to the end of `verify`.
    pub seconds: f64,
    /// Steps that were carried out; 0 is "nothing to do".
    pub steps: usize,
    pub machines: Vec<MachineRow>,
    pub events: Vec<EventsRow>,
    pub copies: Vec<CopiesRow>,
    pub verify: Totals,
    pub contexts: Vec<ContextRow>,
    /// A query that can be tried at once: a message's name.
    pub query: Option<String>,
    pub state: String,
}

#[derive(Debug, Serialize)]
pub struct MachineRow {
    pub name: String,
    /// `hub` for a member of the cluster hub, else `leaf`.
    pub part: String,
    pub zone: String,
    pub nats: String,
    pub monitor: String,
    /// Services that run here, each with what it listens on.
    pub services: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct EventsRow {
    pub set: String,
    pub place: String,
    pub stored: u64,
    pub wanted: u64,
}

#[derive(Debug, Serialize)]
pub struct CopiesRow {
    pub stream: String,
    pub reached: usize,
    pub wanted: usize,
    pub machines: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Totals {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

#[derive(Debug, Serialize)]
pub struct ContextRow {
    pub name: String,
    pub who: String,
}

/// The summary as text, one fact a line, readable without colour.
pub fn text(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = headline(&mut out, summary);
    let _ = machines(&mut out, &summary.machines);
    let _ = contents(&mut out, summary);
    let _ = connect(&mut out, summary);
    out
}

fn headline(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let count = summary.machines.len();
    let plural = if count == 1 { "machine" } else { "machines" };
    write!(out, "{} is up: {count} {plural}", summary.domain)?;
    if let Some(cluster) = &summary.cluster {
        let members = summary.machines.iter().filter(|row| row.part == *cluster).count();
        write!(out, ", {members} of them the cluster {cluster}")?;
    }
    writeln!(out, ", in {:.1} s\n", summary.seconds)
}

fn machines(out: &mut String, rows: &[MachineRow]) -> std::fmt::Result {
    let width =
        |of: fn(&MachineRow) -> &str, least: usize| rows.iter().map(|row| of(row).len()).max().unwrap_or(0).max(least);
    let (name, part) = (width(|r| &r.name, 7), width(|r| &r.part, 4));
    let (zone, nats) = (width(|r| &r.zone, 4), width(|r| &r.nats, 4));
    let monitor = width(|r| &r.monitor, 7);
    let head = ["machine", "part", "zone", "nats", "monitor", "services"];
    let line = |out: &mut String, cells: [&str; 6]| {
        let text = format!(
            "  {:name$}  {:part$}  {:zone$}  {:nats$}  {:monitor$}  {}",
            cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]
        );
        writeln!(out, "{}", text.trim_end())
    };
    line(out, head)?;
    for row in rows {
        line(out, [&row.name, &row.part, &row.zone, &row.nats, &row.monitor, &row.services.join(", ")])?;
    }
    writeln!(out)
}

fn contents(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let mut title = "events";
    for row in &summary.events {
        writeln!(out, "  {title:8} {} of {} of the set {} on {}", row.stored, row.wanted, row.set, row.place)?;
        title = "";
    }
    title = "copies";
    for row in &summary.copies {
        let state = format!("{} of {}", row.reached, row.wanted);
        writeln!(out, "  {title:8} {state} of {} ({})", row.stream, row.machines.join(", "))?;
        title = "";
    }
    let Totals { passed, failed, skipped } = summary.verify;
    write!(out, "  {:8} {passed} passed, {failed} failed", "verify")?;
    if skipped > 0 {
        write!(out, ", {skipped} skipped")?;
    }
    writeln!(out, "\n")
}

fn connect(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let state = &summary.state;
    // People first; the provisioners' contexts, one a leaf, are there for whoever looks for them.
    if let Some(first) = summary.contexts.first() {
        if let Some(query) = &summary.query {
            writeln!(
                out,
                "  {:8} leafwright send {query} --context {state}/nats/context/{}.json",
                "connect", first.name
            )?;
        }
        let title = if summary.query.is_some() { "" } else { "connect" };
        writeln!(out, "  {title:8} XDG_CONFIG_HOME={state} nats --context {} …   ({})", first.name, first.who)?;
        if summary.contexts.len() > 1 {
            writeln!(out, "  {:8} {} more contexts in {state}/nats/context", "", summary.contexts.len() - 1)?;
        }
    }
    writeln!(out, "  {:8} {state}/machines/<machine>/log/", "logs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_fits_one_screen_and_says_it_all() {
        let row = |name: &str, part: &str, services: &[&str]| MachineRow {
            name: name.into(),
            part: part.into(),
            zone: "home".into(),
            nats: "nats://127.0.0.1:4101".into(),
            monitor: "http://127.0.0.1:8101".into(),
            services: services.iter().map(|s| (*s).to_owned()).collect(),
        };
        let summary = Summary {
            format: 1,
            domain: "meadow".into(),
            cluster: Some("hub".into()),
            seconds: 4.26,
            steps: 12,
            machines: vec![row("oak", "hub", &[]), row("web", "leaf", &["web at http://127.0.0.1:8080"])],
            events: vec![EventsRow { set: "todos".into(), place: "office".into(), stored: 12, wanted: 12 }],
            copies: vec![CopiesRow {
                stream: "EVT".into(),
                reached: 3,
                wanted: 4,
                machines: vec!["oak".into(), "ash".into()],
            }],
            verify: Totals { passed: 40, failed: 1, skipped: 0 },
            contexts: vec![ContextRow { name: "meadow-desk-ada".into(), who: "ada on desk".into() }],
            query: Some("todos.list".into()),
            state: "/s".into(),
        };
        assert_eq!(
            text(&summary),
            "\
meadow is up: 2 machines, 1 of them the cluster hub, in 4.3 s

  machine  part  zone  nats                   monitor                services
  oak      hub   home  nats://127.0.0.1:4101  http://127.0.0.1:8101
  web      leaf  home  nats://127.0.0.1:4101  http://127.0.0.1:8101  web at http://127.0.0.1:8080

  events   12 of 12 of the set todos on office
  copies   3 of 4 of EVT (oak, ash)
  verify   40 passed, 1 failed

  connect  leafwright send todos.list --context /s/nats/context/meadow-desk-ada.json
           XDG_CONFIG_HOME=/s nats --context meadow-desk-ada …   (ada on desk)
  logs     /s/machines/<machine>/log/
"
        );
    }
}
