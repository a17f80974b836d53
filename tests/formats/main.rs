//! Growing old: a kept sample of every file that Leafwright reads again, in every version there ever was. This program reads each; one that is
//! a version newer is refused with a way out, and stays as it is.
//!
//! `<format>.<version>.json` beside this file was written once by the program of its time, and is never changed: who changes a format raises
//! `FileFormat::version`, goes on reading the old one, and adds a sample.
#![cfg(feature = "world")]

use anyhow::{Context as _, Result, bail};
use leafwright::apply::{Journal, journal};
use leafwright::declare;
use leafwright::diag::{Sources, Style, render};
use leafwright::foreground::state::State;
use leafwright::host::machine::files::{Change, place_all};
use leafwright::host::machine::{Home, generations, go_on, history, manifest, register};
use leafwright::identity::enrol::Request;
use leafwright::name::FileFormat;
use leafwright::plan::machine::{Content, Reviewed};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of a format where the program looks for it, below a directory; and what the program makes of it.
struct Row {
    format: FileFormat,
    file: &'static str,
    read: fn(&Path) -> Result<String>,
    /// What each version's sample says, the first one's first.
    says: &'static [&'static str],
}

const ROWS: [Row; 11] = [
    Row {
        format: FileFormat::Register,
        file: "state.json",
        read: |at| {
            let register = register::read(&home(at)?)?.context("there is none")?;
            let pending = register.pending.as_ref().map(|pending| pending.to);
            Ok(format!("{} is {:?}, {pending:?} is pending", register.machine, register.active_generation()))
        },
        says: &["office is Some(1), Some(2) is pending"],
    },
    Row {
        format: FileFormat::Generation,
        file: "generations/2.json",
        read: |at| {
            let record = generations::read(&home(at)?, 2)?;
            Ok(format!(
                "{} from {:?} by {} on {}",
                &record.digest()[..12],
                record.from,
                record.person,
                record.created()?.date()
            ))
        },
        says: &["ef9a05162a28 from Some(1) by grace on 2026-11-26"],
    },
    Row {
        format: FileFormat::Manifest,
        file: "manifest.json",
        read: |at| {
            let listed = manifest::read(at)?.artefacts.len();
            let text = fs::read_to_string(at.join("manifest.json"))?;
            // The units and the configuration lie beside it, and are of no interest here.
            let lists = ["gates.json", "credentials.json", "packages.json"];
            let is_list = |path: &str| lists.iter().any(|list| path.ends_with(list));
            let content = Content::read(&text, |path| Some(if is_list(path) { "[]" } else { "{}" }.into()))?;
            Ok(format!("{listed} files, {} of them placed, {} units", content.files.len(), content.units.len()))
        },
        says: &["18 files, 11 of them placed, 3 units"],
    },
    Row {
        format: FileFormat::Originals,
        file: "originals.json",
        read: |at| {
            let home = home(at)?;
            let removed = Change::Remove { path: "/etc/issue.net".into() };
            place_all(&home, &home.lock("a test")?, &[removed], &mut go_on)?;
            Ok(format!("/etc/issue.net was a link to {}", fs::read_link(at.join("etc/issue.net"))?.display()))
        },
        says: &["/etc/issue.net was a link to /etc/issue"],
    },
    Row {
        format: FileFormat::History,
        file: "history.jsonl",
        read: |at| {
            let events = history::read(&home(at)?)?;
            let told = events.iter().map(|event| format!("{}, {} steps", event.kind.name(), event.data.steps.count));
            Ok(told.collect::<Vec<_>>().join("; "))
        },
        says: &["machine.applied, 20 steps"],
    },
    Row {
        format: FileFormat::Attempt,
        file: "attempt.json",
        read: |at| {
            let attempt = history::attempt(&home(at)?)?.context("there is none")?;
            Ok(format!("{:?} to {} by {}, {} steps", attempt.from, attempt.to, attempt.person, attempt.steps.count))
        },
        says: &["Some(1) to 2 by root, 7 steps"],
    },
    Row {
        format: FileFormat::Journal,
        file: "journal.jsonl",
        read: |at| {
            let path = at.join("journal.jsonl");
            let looked = journal::made_in(&path)?;
            let journal = Journal::open(&path)?;
            assert_eq!(journal.made(), looked);
            Ok(format!("{} lines, {} steps done", journal.entries().len(), looked.len()))
        },
        says: &["12 lines, 5 steps done"],
    },
    Row {
        format: FileFormat::Plan,
        file: "plan.json",
        read: |at| {
            let plan = Reviewed::parse(&fs::read_to_string(at.join("plan.json"))?)?;
            let objects = plan.objects.as_ref().map_or(0, |objects| objects.steps.len());
            Ok(format!("{} steps of {}, {objects} of its objects", plan.machine.steps().count(), plan.machine.machine))
        },
        says: &["6 steps of office, 1 of its objects"],
    },
    Row {
        format: FileFormat::Foreground,
        file: "state.json",
        read: |at| State::open(at, "meadow").map(|_| "it is meadow's".into()),
        says: &["it is meadow's"],
    },
    Row {
        format: FileFormat::Enrolment,
        file: "office.request",
        read: |at| {
            let request = Request::read(&fs::read_to_string(at.join("office.request"))?)?;
            Ok(format!("{} keys of {}, {}", request.users.len(), request.machine, request.fingerprint()))
        },
        says: &["3 keys of office, "],
    },
    Row {
        format: FileFormat::Hardware,
        file: "machines/office.hardware.json",
        read: |at| {
            let mut sources = Sources::default();
            sources.add("machines/office.hardware.json", fs::read_to_string(at.join("machines/office.hardware.json"))?);
            let declared = declare::all(&sources);
            let Some(reported) = declared.value.as_ref().and_then(|declared| declared.reports.values().next()) else {
                bail!("{}", render(&declared.report, &sources, Style::Plain))
            };
            Ok(format!("{} cores, {} disks", reported.report.cpu.cores.unwrap_or(0), reported.report.disks.len()))
        },
        says: &["4 cores, 2 disks"],
    },
];

/// The directory is the machine's root and its state.
fn home(at: &Path) -> Result<Home> {
    Home::new(Path::new("/"), Some(at))
}

/// `register.1.json`
fn sample(format: FileFormat, version: u32) -> Result<String> {
    let name = format!("{format:?}.{version}").to_lowercase();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let paths = ["json", "jsonl"].map(|ending| directory.join(format!("{name}.{ending}")));
    let path = paths.iter().find(|path| path.is_file()).with_context(|| format!("there is no sample {name}.json"))?;
    Ok(fs::read_to_string(path)?)
}

/// A directory with this text in the row's file, and all that is in it.
fn place(row: &Row, text: &str) -> (tempfile::TempDir, BTreeMap<PathBuf, Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(row.file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    let there = files(directory.path());
    (directory, there)
}

/// Every file with its bytes; locks say nothing.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.file_name().is_some_and(|name| name == "lock") => {}
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn every_version_of_every_format_is_read() {
    for row in &ROWS {
        for (version, says) in (1..=row.format.version()).zip(row.says) {
            let (directory, _) = place(row, &sample(row.format, version).unwrap());
            let said = (row.read)(directory.path()).map_err(|error| format!("{error:#}"));
            assert!(said.as_ref().is_ok_and(|said| said.starts_with(says)), "{:?} {version}: {said:?}", row.format);
        }
    }
}

#[test]
fn a_newer_one_is_refused_with_a_way_out_and_stays_as_it_is() {
    for row in &ROWS {
        let known = row.format.version();
        let text = sample(row.format, known).unwrap();
        let newer = text.replacen(&format!("\"format\": {known}"), &format!("\"format\": {}", known + 1), 1);
        let newer = newer.replacen(&format!("\"format\":{known}"), &format!("\"format\":{}", known + 1), 1);
        // What nobody here can know.
        let newer = newer.replacen('{', "{\"colour\":\"heather\",", 1);
        assert_ne!(text, newer);
        let (directory, before) = place(row, &newer);
        let error = format!("{:#}", (row.read)(directory.path()).expect_err("it is newer"));
        let format = row.format;
        let found = format!("format {}", known + 1);
        assert!(error.contains(&found) && error.contains("help: use th"), "{format:?}: {error}");
        assert_eq!(files(directory.path()), before, "{format:?}: something was written");
    }
}

#[test]
fn every_format_has_a_row_and_a_sample_of_each_version() {
    for format in FileFormat::ALL {
        let rows = ROWS.iter().filter(|row| row.format == format).count();
        assert_eq!(rows, 1, "{format:?} has {rows} rows in tests/formats/main.rs");
        for version in 1..=format.version() {
            sample(format, version).unwrap();
        }
    }
    for row in &ROWS {
        assert_eq!(row.says.len(), row.format.version() as usize, "{:?}: a sentence for each version", row.format);
    }
}

/// A type that says its format and can be read back belongs to one of `FileFormat`; each of those is in `FileFormat::ALL`.
#[test]
fn whatever_says_its_format_is_known_here() {
    let mut sources = vec![];
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let known: Vec<String> = FileFormat::ALL.iter().map(|format| format!("{format:?}")).collect();
    for (path, text) in sources {
        let read_back = text.contains("Deserialize") && text.lines().any(|line| is_field(line.trim()));
        // The events' type; the file above it reads and writes them.
        let beside = path.ends_with("history/event.rs");
        assert!(!read_back || beside || text.contains("FileFormat::"), "{} has a format of its own", path.display());
        let named = text.split("FileFormat::").skip(1).filter(|rest| rest.starts_with(char::is_uppercase));
        for name in named.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()) {
            assert!(
                name == "ALL" || known.contains(&name.to_owned()),
                "FileFormat::ALL lacks {name} of {}",
                path.display()
            );
        }
    }
}

fn is_field(line: &str) -> bool {
    ["format: u32,", "pub format: u32,", "format: u64,", "pub format: u64,"].contains(&line)
}

fn below(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => below(&path, found),
            false => found.push((path.clone(), fs::read_to_string(&path).unwrap_or_default())),
        }
    }
}
