//! What was begun, what was done, what failed: JSON lines, each synced before anything goes on.
//!
//! Refuses: being the truth about the world. It says what was done; what is there is observed.

use crate::name::{FileFormat, Unread};
use crate::plan::Plan;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "lowercase")]
pub enum Entry {
    /// A run begins: which plan, against what.
    Begin {
        format: u32,
        plan: String,
        parent: String,
        steps: usize,
    },
    Step {
        id: String,
    },
    Done {
        id: String,
    },
    Failed {
        id: String,
        error: String,
    },
    End,
}

/// An append-only file. A line that was torn by a crash is cut off when it is opened again.
#[derive(Debug)]
pub struct Journal {
    file: File,
    entries: Vec<Entry>,
}

/// Ids of the steps that were ever done, for whoever looks while another one writes: nothing is changed, a torn line is passed over.
pub fn made_in(path: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read(path).unwrap_or_default();
    let mut made = BTreeSet::new();
    for line in text.split(|byte| *byte == b'\n') {
        match parse(line) {
            Ok(Entry::Done { id }) => drop(made.insert(id)),
            Err(newer @ Unread::Newer { .. }) => return Err(newer).with_context(|| path.display().to_string()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(made)
}

/// The first line of a run says the version of those that follow it.
fn parse(line: &[u8]) -> Result<Entry, Unread> {
    match FileFormat::Journal.version_in(line) {
        Err(newer @ Unread::Newer { .. }) => Err(newer),
        Ok(_) | Err(_) => serde_json::from_slice(line).map_err(Unread::Damaged),
    }
}

/// A newer Leafwright wrote it; or somebody wrote into it, and without that line it says what it said before.
fn foreign(path: &Path, number: usize, line: &[u8], error: Unread) -> anyhow::Error {
    if let Unread::Newer { .. } = error {
        return anyhow::Error::new(error).context(path.display().to_string());
    }
    let text: String = String::from_utf8_lossy(line).chars().take(60).collect();
    anyhow::anyhow!(
        "{}:{number} is no line of a journal: {text:?} ({error})\n\
         help: `sed -i {number}d {}` removes it; what is there is observed and not taken from the journal",
        path.display(),
        path.display()
    )
}

impl Journal {
    pub fn open(path: &Path) -> Result<Self> {
        let say = || format!("cannot open the journal {}", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(say)?;
        }
        let mut file = File::options().read(true).append(true).create(true).open(path).with_context(say)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(say)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let lines = text[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
        let entries = lines
            .map(|(at, line)| parse(line).map_err(|error| foreign(path, at + 1, line, error)))
            .collect::<Result<_, _>>()?;
        if whole < text.len() {
            file.set_len(whole as u64).with_context(say)?;
            file.seek(SeekFrom::End(0)).with_context(say)?;
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|parent| parent.sync_all()).with_context(say)?;
        }
        Ok(Self { file, entries })
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Ids of the steps that were ever done: what tells a loss from something new.
    pub fn made(&self) -> BTreeSet<String> {
        self.entries
            .iter()
            .filter_map(|entry| if let Entry::Done { id } = entry { Some(id.clone()) } else { None })
            .collect()
    }

    /// Did the last run stop before its end?
    pub fn is_unfinished(&self) -> bool {
        self.entries.last().is_some_and(|entry| *entry != Entry::End)
    }

    pub fn begin(&mut self, plan: &Plan) -> Result<()> {
        self.write(Entry::Begin {
            format: FileFormat::Journal.version(),
            plan: plan.digest(),
            parent: plan.parent.clone(),
            steps: plan.steps.len(),
        })
    }

    pub fn step(&mut self, id: &str) -> Result<()> {
        self.write(Entry::Step { id: id.to_owned() })
    }

    pub fn done(&mut self, id: &str) -> Result<()> {
        self.write(Entry::Done { id: id.to_owned() })
    }

    pub fn failed(&mut self, id: &str, error: &str) -> Result<()> {
        self.write(Entry::Failed { id: id.to_owned(), error: error.to_owned() })
    }

    pub fn end(&mut self) -> Result<()> {
        self.write(Entry::End)
    }

    fn write(&mut self, entry: Entry) -> Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.file.write_all(&line).context("cannot write the journal")?;
        self.file.sync_data().context("cannot sync the journal")?;
        self.entries.push(entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_line_is_named_and_the_help_removes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        Journal::open(&path).unwrap().done("oak/closure/write").unwrap();
        fs::write(&path, [&fs::read(&path).unwrap(), "hello\n".as_bytes()].concat()).unwrap();
        let said = Journal::open(&path).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{}:2 is no line of a journal: \"hello\"", path.display())), "{said}");
        let help = said.split('`').nth(1).unwrap();
        assert!(std::process::Command::new("sh").args(["-c", help]).status().unwrap().success());
        assert_eq!(Journal::open(&path).unwrap().made(), ["oak/closure/write".to_owned()].into());
    }
}
