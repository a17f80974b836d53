//! `history.jsonl`: what became of this machine, a line an event, in the order in which it happened. Each line is synced before
//! anything else is said of it; `attempt.json` beside it has what is under way.
//!
//! Refuses: changing or removing a line, a line that it cannot read, and one of a newer format. A last line that a power cut
//! tore is none: nobody was told of it.

mod event;

pub use event::{Attempt, Change, Data, Event, Kind, Steps};

use super::Home;
use super::lock::Lock;
use super::versioned;
use crate::host::disk;
use crate::name::FileFormat;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

fn path(home: &Home) -> PathBuf {
    home.state().join("history.jsonl")
}

fn attempt_path(home: &Home) -> PathBuf {
    home.state().join("attempt.json")
}

fn told_path(home: &Home) -> PathBuf {
    home.state().join("history-published")
}

/// All events, the oldest first.
pub fn read(home: &Home) -> Result<Vec<Event>> {
    let path = path(home);
    let bytes = content(home)?;
    let whole = whole(&bytes);
    let lines = whole.split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| !line.is_empty());
    lines
        .map(|(line, number)| parse(line, FileFormat::History).with_context(|| format!("{}:{number}", path.display())))
        .collect()
}

fn content(home: &Home) -> Result<Vec<u8>> {
    let path = path(home);
    let unread = || format!("cannot read {}", path.display());
    match fs::metadata(&path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(vec![]),
        // Whoever opens a pipe waits for its other end.
        Ok(found) if !found.is_file() => bail!("{} is not a file", path.display()),
        Ok(_) => fs::read(&path).with_context(unread),
        Err(fault) => Err(fault).with_context(unread),
    }
}

/// Up to the last line that was written to its end.
fn whole(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &bytes[..end]
}

const DAMAGED: &str = "damaged\nhelp: move the file away; a new one is begun, and what was published stays";

fn parse<T: DeserializeOwned>(text: &[u8], format: FileFormat) -> Result<T> {
    versioned::parse(text, format, DAMAGED)
}

/// Writes the event behind all others, synced. What a power cut left of a last line goes first. An event that is there
/// already is not written again.
pub fn append(home: &Home, _held: &Lock, event: &Event) -> Result<()> {
    if read(home)?.iter().any(|there| there.id == event.id) {
        return Ok(());
    }
    let path = path(home);
    let say = || format!("cannot write {}", path.display());
    let there = content(home)?;
    let whole = whole(&there).len();
    let mut file = File::options().create(true).append(true).mode(0o644).open(&path).with_context(say)?;
    if whole < there.len() {
        file.set_len(whole as u64).with_context(say)?;
    }
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    file.write_all(&line).with_context(say)?;
    file.sync_all().with_context(say)?;
    if there.is_empty() {
        disk::sync_directory(home.state())?;
    }
    Ok(())
}

/// Before the first effect of an attempt. One that was there never came so far, or was written down already.
pub fn begin(home: &Home, _held: &Lock, attempt: &Attempt) -> Result<()> {
    let text = serde_json::to_string_pretty(attempt)? + "\n";
    disk::write_for_good(&attempt_path(home), text.as_bytes(), 0o644)
}

/// What was begun and is not written down yet.
pub fn attempt(home: &Home) -> Result<Option<Attempt>> {
    let path = attempt_path(home);
    match fs::read(&path) {
        Ok(text) => parse(&text, FileFormat::Attempt).map(Some).with_context(|| path.display().to_string()),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// After its event was written.
pub fn end(home: &Home, _held: &Lock) -> Result<()> {
    match fs::remove_file(attempt_path(home)) {
        Err(fault) if fault.kind() != ErrorKind::NotFound => {
            Err(fault).with_context(|| format!("cannot remove {}", attempt_path(home).display()))
        }
        _ => Ok(()),
    }
}

/// The id of an event that does not exist yet.
pub fn new_id() -> Result<String> {
    let mut bytes = [0u8; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        bail!("there is no randomness: {error}");
    }
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

/// The last event that is known to be published. A hint, so that nobody connects for nothing: what is true is in the stream.
pub fn last_published(home: &Home) -> Option<String> {
    fs::read_to_string(told_path(home)).ok().map(|text| text.trim().to_owned())
}

pub fn set_last_published(home: &Home, id: &str) -> Result<()> {
    disk::write(&told_path(home), format!("{id}\n").as_bytes(), 0o644)
}

impl Event {
    /// As `data` and headers become one again, read from a stream.
    pub fn of_stream(id: &str, kind: &str, time: &str, data: &[u8]) -> Result<Self> {
        #[derive(Serialize)]
        struct Parts<'a> {
            format: u32,
            id: &'a str,
            r#type: &'a str,
            time: &'a str,
            data: serde_json::Value,
        }
        let data = serde_json::from_slice(data).context("what it says is not understood")?;
        let whole = serde_json::to_vec(&Parts { format: FileFormat::History.version(), id, r#type: kind, time, data })?;
        serde_json::from_slice(&whole).context("it is not understood")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home, Lock) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path(), None).unwrap();
        let lock = home.lock("a test").unwrap();
        (directory, home, lock)
    }

    fn event(id: &str) -> Event {
        let data = Data {
            machine: "office".into(),
            person: Some("ada".into()),
            generation: Change { from: Some(1), to: Some(2) },
            digest: None,
            duration_ms: Some(4200),
            steps: Steps::of(["place /etc/motd".to_owned()]),
            reason: None,
        };
        Event {
            format: FileFormat::History.version(),
            id: id.into(),
            kind: Kind::RolledBack,
            time: "2026-11-26T07:36:34Z".into(),
            data,
        }
    }

    fn ids(home: &Home) -> Vec<String> {
        read(home).unwrap().into_iter().map(|event| event.id).collect()
    }

    #[test]
    fn what_was_written_is_read_and_once() {
        let (_directory, home, lock) = home();
        assert_eq!(read(&home).unwrap(), []);
        for id in ["a", "b", "a"] {
            append(&home, &lock, &event(id)).unwrap();
        }
        assert_eq!(read(&home).unwrap(), [event("a"), event("b")]);
        let text = fs::read_to_string(path(&home)).unwrap();
        assert!(text.contains(r#""type":"machine.rolled-back""#) && !text.contains("reason"), "{text}");
    }

    #[test]
    fn a_torn_last_line_is_none_and_the_next_event_takes_its_place() {
        let (_directory, home, lock) = home();
        append(&home, &lock, &event("a")).unwrap();
        append(&home, &lock, &event("b")).unwrap();
        let text = fs::read(path(&home)).unwrap();
        let first = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in first..text.len() {
            fs::write(path(&home), &text[..end]).unwrap();
            assert_eq!(ids(&home), ["a"], "{end} bytes");
        }
        append(&home, &lock, &event("c")).unwrap();
        assert_eq!(ids(&home), ["a", "c"]);
    }

    #[test]
    fn a_newer_line_is_refused_and_so_is_a_damaged_one() {
        let (_directory, home, lock) = home();
        append(&home, &lock, &event("a")).unwrap();
        for (line, says) in [
            (r#"{"format":2,"id":"b","what":"new"}"#, "written by a newer leafwright (format 2, this one knows 1)"),
            (r#"{"format":1,"id":"b"}"#, "damaged"),
            ("heather", "damaged"),
        ] {
            let text = fs::read_to_string(path(&home)).unwrap();
            fs::write(path(&home), format!("{text}{line}\n")).unwrap();
            let error = format!("{:#}", read(&home).unwrap_err());
            assert!(error.contains("history.jsonl:2") && error.contains(says), "{error}");
            assert!(append(&home, &lock, &event("c")).is_err(), "nothing is written behind what is not understood");
            fs::write(path(&home), text).unwrap();
        }
    }

    #[test]
    fn what_was_begun_is_there_until_it_ended() {
        let (_directory, home, lock) = home();
        assert_eq!(attempt(&home).unwrap(), None);
        let begun = Attempt {
            format: FileFormat::Attempt.version(),
            id: new_id().unwrap(),
            kind: Kind::Applied,
            person: "ada".into(),
            began: "2026-11-26T07:36:34Z".into(),
            from: None,
            to: 1,
            steps: Steps::default(),
        };
        begin(&home, &lock, &begun).unwrap();
        assert_eq!(attempt(&home).unwrap(), Some(begun));
        end(&home, &lock).unwrap();
        end(&home, &lock).unwrap();
        assert_eq!(attempt(&home).unwrap(), None);
        assert_eq!(new_id().unwrap().len(), 32);
    }

    #[test]
    fn an_event_of_a_stream_is_the_event_that_was_written() {
        let event = event("a");
        let data = serde_json::to_vec(&event.data).unwrap();
        assert_eq!(Event::of_stream("a", &event.kind.name(), &event.time, &data).unwrap(), event);
        assert!(Event::of_stream("a", "machine.exploded", &event.time, &data).is_err());
        assert!(Event::of_stream("a", &event.kind.name(), &event.time, b"heather").is_err());
    }
}
