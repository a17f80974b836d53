//! History as people read it: a sentence an event, the newest last; why, and what, indented below.
//!
//! Refuses: what could steer the terminal; events come from other machines.

use crate::host::machine::history::{Change, Event, Kind};
use crate::plan::render::counted;
use std::fmt::Write as _;

/// Things that differ which are told one by one.
const TOLD: usize = 5;

pub fn human(events: &[Event]) -> String {
    let width = events.iter().map(|event| event.data.machine.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for event in events {
        let _ = writeln!(text, "{}  {:width$}  {}", time(&event.time), event.data.machine, sentence(event));
        for line in below(event) {
            let _ = writeln!(text, "    {line}");
        }
    }
    // A line is a line, whoever wrote it.
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// `2026-11-26T07:36:34.120Z` → `2026-11-26 07:36:34`
fn time(text: &str) -> String {
    text.chars().take(19).collect::<String>().replace('T', " ")
}

fn sentence(event: &Event) -> String {
    let data = &event.data;
    let Change { from, to } = data.generation;
    let what = match (event.kind, from, to) {
        (Kind::Applied, Some(from), Some(to)) if from == to => format!("generation {to} was mended"),
        (Kind::Applied, Some(from), Some(to)) => format!("generation {to} was applied, after {from}"),
        (Kind::Applied, ..) => format!("{} was applied, the first", generation(to)),
        (Kind::RolledBack, ..) => format!("went back to {} from {}", generation(to), number(from)),
        (Kind::Returned, _, Some(to)) => format!("{} was given up, back at generation {to}", generation(from)),
        (Kind::Returned, ..) => format!("{} was given up, back at what was before", generation(from)),
        (Kind::Failed, ..) => format!("{} was tried and failed", generation(to)),
        (Kind::Drifted, ..) => {
            format!("differs from {}: {} would mend it", generation(to), counted(data.steps.count, "step"))
        }
        (Kind::Repaired, ..) => format!("is {} again, nothing differs", generation(to)),
    };
    let steps = match event.kind {
        Kind::Applied | Kind::RolledBack => format!(", {}", counted(data.steps.count, "step")),
        _ => String::new(),
    };
    let person = data.person.as_ref().map_or_else(String::new, |person| format!(", by {person}"));
    let seconds = |ms: u64| format!(", {}.{} s", ms / 1000, ms % 1000 / 100);
    format!("{what}{person}{steps}{}", data.duration_ms.map_or_else(String::new, seconds))
}

fn generation(number: Option<u64>) -> String {
    number.map_or("nothing".to_owned(), |number| format!("generation {number}"))
}

fn number(number: Option<u64>) -> String {
    number.map_or("nothing".to_owned(), |number| number.to_string())
}

/// Why; and of drift what.
fn below(event: &Event) -> Vec<String> {
    let reason = event.data.reason.iter().flat_map(|reason| reason.lines());
    let mut lines: Vec<String> = match event.data.reason {
        Some(_) if event.kind == Kind::Applied => reason.map(str::to_owned).collect(),
        _ => reason
            .enumerate()
            .map(|(at, line)| if at == 0 { format!("because {line}") } else { line.to_owned() })
            .collect(),
    };
    if event.kind == Kind::Drifted {
        let steps = &event.data.steps;
        lines.extend(steps.sentences.iter().take(TOLD).cloned());
        if let Some(more) = steps.count.checked_sub(TOLD as u64).filter(|more| *more > 0) {
            lines.push(format!("and {more} more"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::machine::history::{Data, Steps};
    use crate::name::FileFormat;

    fn event(kind: Kind, from: Option<u64>, to: Option<u64>) -> Event {
        let data = Data {
            machine: "office".into(),
            person: Some("ada".into()),
            generation: Change { from, to },
            digest: None,
            duration_ms: Some(61_250),
            steps: Steps::of(["a".to_owned(), "b".to_owned()]),
            reason: None,
        };
        Event {
            format: FileFormat::History.version(),
            id: "x".into(),
            kind,
            time: "2026-11-26T07:36:34.120Z".into(),
            data,
        }
    }

    fn because(mut event: Event, reason: &str) -> Event {
        event.data.reason = Some(reason.into());
        event
    }

    #[test]
    fn each_event_reads_like_a_sentence() {
        let mut drifted = event(Kind::Drifted, Some(2), Some(2));
        drifted.data = Data { person: None, duration_ms: None, ..drifted.data };
        let mut repaired = event(Kind::Repaired, Some(2), Some(2));
        repaired.data = Data { person: None, duration_ms: None, machine: "pi".into(), ..repaired.data };
        let events = [
            event(Kind::Applied, None, Some(1)),
            event(Kind::Applied, Some(1), Some(2)),
            event(Kind::Applied, Some(2), Some(2)),
            event(Kind::RolledBack, Some(2), Some(1)),
            because(event(Kind::Returned, Some(3), Some(1)), "a unit does not stay up\nsee its journal\u{1b}[31m"),
            because(event(Kind::Returned, Some(1), None), "the machine was restarted"),
            because(event(Kind::Failed, Some(1), Some(3)), "nothing was done: the disk is full"),
            drifted,
            repaired,
        ];
        assert_eq!(
            human(&events),
            "\
2026-11-26 07:36:34  office  generation 1 was applied, the first, by ada, 2 steps, 61.2 s
2026-11-26 07:36:34  office  generation 2 was applied, after 1, by ada, 2 steps, 61.2 s
2026-11-26 07:36:34  office  generation 2 was mended, by ada, 2 steps, 61.2 s
2026-11-26 07:36:34  office  went back to generation 1 from 2, by ada, 2 steps, 61.2 s
2026-11-26 07:36:34  office  generation 3 was given up, back at generation 1, by ada, 61.2 s
    because a unit does not stay up
    see its journal [31m
2026-11-26 07:36:34  office  generation 1 was given up, back at what was before, by ada, 61.2 s
    because the machine was restarted
2026-11-26 07:36:34  office  generation 3 was tried and failed, by ada, 61.2 s
    because nothing was done: the disk is full
2026-11-26 07:36:34  office  differs from generation 2: 2 steps would mend it
    a
    b
2026-11-26 07:36:34  pi      is generation 2 again, nothing differs
"
        );
    }
}
