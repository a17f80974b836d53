//! Closures by hand, a state directory, and a hook that crashes. Refuses: assertions.

use anyhow::{Result, bail};
use leafwright::compile::{Artefact, ArtefactKind, Closure, Digesting, Effect, manifest};
use leafwright::diag::Sources;
use leafwright::host::machine::generations::{self, Draft, Record};
use leafwright::host::machine::lock::Lock;
use leafwright::host::machine::register::{self, Mode};
use leafwright::host::machine::{Home, go_on, store};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// A root directory of its own, the machine's state in it.
pub struct Machine {
    pub directory: TempDir,
    pub home: Home,
}

pub fn machine() -> Machine {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::new(Path::new("/var/lib/leafwright"), Some(directory.path())).unwrap();
    Machine { directory, home }
}

impl Machine {
    pub fn lock(&self) -> Lock {
        self.home.lock("a test").unwrap()
    }

    /// A path of the machine, as it is found from outside.
    pub fn at(&self, path: &str) -> std::path::PathBuf {
        self.home.root().join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Imports a closure with these files and makes it the current generation.
    pub fn generation(&self, files: &[(&str, &str)], created: &str) -> Record {
        let lock = self.lock();
        let (closure, manifest) = closure(files);
        let entry = store::import(&self.home, &lock, &closure, &manifest, &mut go_on).unwrap();
        let mut register = register::open(&self.home, "office").unwrap();
        let closure = entry.file_name().unwrap().to_str().unwrap().to_owned();
        let draft = Draft {
            closure,
            created: created.into(),
            person: "ada".into(),
            program: None,
            mode: Mode::Persist,
            failing: None,
        };
        let record = generations::create(&self.home, &lock, &mut register, draft).unwrap();
        // As whoever applies does first.
        register.tidied();
        register.begin(record.number, Mode::Persist, super::transitions::watch("one")).unwrap();
        register.commit("n", "one").unwrap();
        register.tidied();
        register::write(&self.home, &lock, &register).unwrap();
        record
    }
}

/// A closure of `office` and its manifest.
pub fn closure(files: &[(&str, &str)]) -> (Closure, String) {
    let modes: Vec<_> = files.iter().map(|(path, text)| (*path, 0o644, *text)).collect();
    closure_with_modes(&modes)
}

pub fn closure_with_modes(files: &[(&str, u32, &str)]) -> (Closure, String) {
    let mut artefacts: Vec<Artefact> = files
        .iter()
        .map(|(path, mode, text)| Artefact {
            kind: ArtefactKind::File,
            path: (*path).into(),
            mode: *mode,
            bytes: text.as_bytes().to_vec(),
            origins: vec![],
            lines: vec![],
            effect: Effect::None,
        })
        .collect();
    artefacts.sort_by(|a, b| a.path.cmp(&b.path));
    let mut digesting = Digesting::default();
    for artefact in &artefacts {
        digesting.put(&artefact.path, artefact.mode, &artefact.bytes);
    }
    let closure = Closure { name: "office".into(), artefacts, digest: digesting.finish() };
    let text = manifest(&closure, &Sources::default());
    (closure, text)
}

/// Runs `act` again and again, stopped before its first, second, … effect, until it runs through; `after` looks at what each crash left.
/// Returns the effects in their order.
pub fn crash_at_each(
    mut act: impl FnMut(&mut dyn FnMut(&str) -> Result<()>) -> Result<()>,
    mut after: impl FnMut(&str),
) -> Vec<String> {
    for stop in 0.. {
        let mut steps = vec![];
        let mut hook = |step: &str| {
            steps.push(step.to_owned());
            if steps.len() > stop {
                bail!("crashed before: {step}")
            }
            Ok(())
        };
        match act(&mut hook) {
            Ok(()) => return steps,
            Err(fault) if fault.to_string().starts_with("crashed before") => after(steps.last().unwrap()),
            Err(fault) => panic!("{fault:#}"),
        }
    }
    unreachable!("there are effects without end")
}

/// Everything below a directory: `dir 0755`, `file 0644 text`, `link to`.
pub fn tree(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, is) in leafwright::host::closure::list(directory).unwrap() {
        let mode = is.permissions().mode() & 0o7777;
        let at = directory.join(&path);
        let what = match is.file_type() {
            kind if kind.is_dir() => format!("dir {mode:04o}"),
            kind if kind.is_symlink() => format!("link {}", fs::read_link(at).unwrap().display()),
            _ => format!("file {mode:04o} {}", String::from_utf8_lossy(&fs::read(at).unwrap())),
        };
        found.insert(path, what);
    }
    found
}
