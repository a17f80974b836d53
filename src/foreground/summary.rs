//! What a person wants to know once the domain is up: what runs where, how to connect, what is loaded, how many copies.
//!
//! Refuses: finding anything out. It prints what it is given.

use crate::plan::render::counted;
use serde::Serialize;
use std::fmt::Write;

#[derive(Debug, Serialize)]
pub struct Summary {
    pub format: u32,
    pub domain: String,
    pub cluster: Option<String>,
    pub ending: Ending,
    /// From the start of the program to the end of `verify`.
    pub seconds: f64,
    /// Steps that were carried out; 0 is "nothing to do".
    pub steps: usize,
    pub machines: Vec<MachineRow>,
    pub events: Vec<EventsRow>,
    pub copies: Vec<CopiesRow>,
    pub verify: Totals,
    /// What `verify` found wrong, a line each.
    pub failures: Vec<String>,
    pub contexts: Vec<ContextRow>,
    /// A query that can be tried at once; none where nobody here may ask one that is answered.
    pub query: Option<QueryRow>,
    pub state: String,
    /// How whoever reads this calls Leafwright.
    #[serde(skip)]
    pub program: String,
}

/// By its path where it was started by one: whoever built it has it nowhere else yet.
pub fn program() -> String {
    let typed = std::env::args().next().filter(|typed| typed.contains('/'));
    typed.unwrap_or_else(|| "leafwright".to_owned())
}

/// What becomes of the domain after the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Stays,
    Stopped,
}

#[derive(Debug, Serialize)]
pub struct QueryRow {
    pub message: String,
    /// JSON, where it has fields.
    pub payload: Option<String>,
    /// The context of somebody who may ask it.
    pub context: String,
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
    let Totals { passed, failed, .. } = summary.verify;
    let (domain, all) = (&summary.domain, passed + failed);
    match (summary.ending, failed) {
        (Ending::Stays, 0) => write!(out, "{domain} is up: ")?,
        (Ending::Stopped, 0) => write!(out, "{domain} was brought up and verified, then stopped: ")?,
        (Ending::Stays, _) => write!(out, "{domain} runs, but {}", broken(summary, all))?,
        (Ending::Stopped, _) => write!(out, "{domain} was brought up and stopped, but {}", broken(summary, all))?,
    }
    let count = summary.machines.len();
    write!(out, "{}", counted(count, "machine"))?;
    if let Some(cluster) = &summary.cluster {
        let members = summary.machines.iter().filter(|row| row.part == *cluster).count();
        write!(out, ", {members} of them the cluster {cluster}")?;
    }
    writeln!(out, ", in {:.1} s\n", summary.seconds)
}

/// What does not hold, before anything that does.
fn broken(summary: &Summary, all: usize) -> String {
    let rows: String = summary.failures.iter().map(|failure| format!("  ✗ {failure}\n")).collect();
    let hold = if summary.failures.len() == 1 { "does" } else { "do" };
    format!("{} of {all} promises {hold} not hold:\n\n{rows}\n", summary.failures.len())
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
    if let Some(first) = summary.contexts.first().filter(|_| summary.ending == Ending::Stays) {
        if let Some(QueryRow { message, payload, context }) = &summary.query {
            // In single quotes only a single quote means something to a shell.
            let payload = payload.as_ref().map(|json| format!(" '{}'", json.replace('\'', r"'\''")));
            let payload = payload.unwrap_or_default();
            writeln!(
                out,
                "  {:8} {} send {message}{payload} --context {state}/nats/context/{context}.json",
                "connect", summary.program
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

    fn summary() -> Summary {
        let row = |name: &str, part: &str, services: &[&str]| MachineRow {
            name: name.into(),
            part: part.into(),
            zone: "home".into(),
            nats: "nats://127.0.0.1:4101".into(),
            monitor: "http://127.0.0.1:8101".into(),
            services: services.iter().map(|s| (*s).to_owned()).collect(),
        };
        Summary {
            format: 1,
            domain: "meadow".into(),
            cluster: Some("hub".into()),
            ending: Ending::Stays,
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
            verify: Totals { passed: 40, failed: 0, skipped: 0 },
            failures: vec![],
            contexts: vec![ContextRow { name: "meadow-desk-ada".into(), who: "ada on desk".into() }],
            query: Some(QueryRow { message: "todos.list".into(), payload: None, context: "meadow-shed-bob".into() }),
            state: "/s".into(),
            program: "leafwright".into(),
        }
    }

    #[test]
    fn what_does_not_hold_comes_first() {
        let broken = Summary {
            verify: Totals { passed: 21, failed: 2, skipped: 0 },
            failures: vec!["EVT on hub: 3 of 4 copies".into(), "web → hub: no link".into()],
            ..summary()
        };
        let said = "\
meadow runs, but 2 of 23 promises do not hold:

  ✗ EVT on hub: 3 of 4 copies
  ✗ web → hub: no link

2 machines, 1 of them the cluster hub, in 4.3 s
";
        assert!(text(&broken).starts_with(said), "{}", text(&broken));
    }

    #[test]
    fn what_was_stopped_is_not_called_up_and_not_to_be_connected_to() {
        let stopped = text(&Summary { ending: Ending::Stopped, ..summary() });
        assert!(stopped.starts_with("meadow was brought up and verified, then stopped: 2 machines, 1 of"), "{stopped}");
        assert!(!stopped.contains("connect"), "{stopped}");
        let payload = Some(r#"{"title":"the dog's bowl"}"#.to_owned());
        let query = QueryRow { message: "todos.find".into(), payload, context: "c".into() };
        let asks = text(&Summary { query: Some(query), ..summary() });
        assert!(asks.contains(r#"send todos.find '{"title":"the dog'\''s bowl"}' --context"#), "{asks}");
    }

    #[test]
    fn the_summary_fits_one_screen_and_says_it_all() {
        assert_eq!(
            text(&summary()),
            "\
meadow is up: 2 machines, 1 of them the cluster hub, in 4.3 s

  machine  part  zone  nats                   monitor                services
  oak      hub   home  nats://127.0.0.1:4101  http://127.0.0.1:8101
  web      leaf  home  nats://127.0.0.1:4101  http://127.0.0.1:8101  web at http://127.0.0.1:8080

  events   12 of 12 of the set todos on office
  copies   3 of 4 of EVT (oak, ash)
  verify   40 passed, 0 failed

  connect  leafwright send todos.list --context /s/nats/context/meadow-shed-bob.json
           XDG_CONFIG_HOME=/s nats --context meadow-desk-ada …   (ada on desk)
  logs     /s/machines/<machine>/log/
"
        );
    }
}
