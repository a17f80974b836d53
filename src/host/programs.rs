//! Programs that run to their end: arguments as a list, a bare environment, a deadline, and what they said.
//!
//! Refuses: shells, inherited environments, waiting for ever, and keeping more words than anyone reads.

use super::process::{PATH, die_with_parent};
use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// What is kept of each stream; what comes after is read and dropped.
const KEPT: u64 = 1 << 20;

/// For programs that read a few files and answer.
const CHECK: Duration = Duration::from_secs(30);

/// For programs that may wait for a lock of others (`/etc/.pwd.lock`) or walk directories.
const CHANGE: Duration = Duration::from_secs(120);

/// How a program ended and what it said.
#[derive(Clone, Debug)]
pub struct Output {
    /// As somebody would type it.
    pub command: String,
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// What it printed, if it ended well; otherwise an error with everything it said.
    pub fn ok(self) -> Result<String> {
        if self.code == Some(0) {
            return Ok(self.stdout);
        }
        let said = [self.stderr.trim(), self.stdout.trim()].into_iter().filter(|words| !words.is_empty());
        let said = said.collect::<Vec<_>>().join("\n");
        match self.code {
            Some(code) => bail!("{} failed with {code}: {said}", self.command),
            None => bail!("{} was killed: {said}", self.command),
        }
    }
}

/// Runs `program` to its end. When the deadline passes, it and everything that it started are killed.
pub async fn run<A>(program: impl AsRef<OsStr>, args: A, deadline: Duration) -> Result<Output>
where
    A: IntoIterator,
    A::Item: AsRef<OsStr>,
{
    let program = program.as_ref();
    let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    let words = std::iter::once(program).chain(args.iter().map(OsString::as_os_str));
    let command = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let mut child = spawn(program, &args).with_context(|| format!("cannot run {command}"))?;
    let ended = tokio::time::timeout(deadline, to_the_end(&mut child)).await;
    let Ok(ended) = ended else {
        kill(&mut child).await.with_context(|| format!("cannot kill {command}"))?;
        bail!("{command} did not end within {deadline:?} and was killed");
    };
    let (code, stdout, stderr) = ended.with_context(|| format!("cannot hear {command}"))?;
    Ok(Output { command, code, stdout, stderr })
}

fn spawn(program: &OsStr, args: &[OsString]) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    die_with_parent(&mut command);
    command.spawn()
}

async fn to_the_end(child: &mut Child) -> std::io::Result<(Option<i32>, String, String)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (status, stdout, stderr) = tokio::join!(child.wait(), words(stdout), words(stderr));
    Ok((status?.code(), stdout?, stderr?))
}

async fn words(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(KEPT).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// The whole process group, so that nothing that it started holds on.
async fn kill(child: &mut Child) -> std::io::Result<()> {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It may have ended in between; then there is nothing left to kill.
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait().await.map(|_| ())
}

/// A program that must not be cut short: it goes on when we die, so its words go to a file.
pub struct Alone<'a> {
    pub program: &'a OsStr,
    pub args: &'a [&'a OsStr],
    /// Besides `PATH` and `LANG`.
    pub environment: &'a [(&'a str, &'a str)],
    /// Written anew, for root alone.
    pub log: &'a Path,
}

/// Runs it to its end, and says with what: `None` for a signal. When the deadline passes, it and what it started are killed.
pub async fn run_alone(alone: &Alone<'_>, deadline: Duration) -> Result<Option<i32>> {
    let name = alone.program.display();
    let mut open = std::fs::OpenOptions::new();
    let log = open.create(true).write(true).truncate(true).mode(0o600).open(alone.log);
    let log = log.with_context(|| format!("cannot write {}", alone.log.display()))?;
    let mut command = Command::new(alone.program);
    command.args(alone.args).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
    command.envs(alone.environment.iter().copied()).current_dir("/").stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let Ok(ended) = tokio::time::timeout(deadline, child.wait()).await else {
        kill(&mut child).await.with_context(|| format!("cannot kill {name}"))?;
        bail!(
            "{name} did not end within {deadline:?} and was killed\nhelp: what it said is in {}",
            alone.log.display()
        );
    };
    Ok(ended.with_context(|| format!("cannot wait for {name}"))?.code())
}

/// Makes the users and groups of a sysusers.d file.
pub async fn sysusers(file: &Path) -> Result<()> {
    run("systemd-sysusers", [file], CHANGE).await?.ok().map(|_| ())
}

/// Makes what a tmpfiles.d file says; below `root` where there is one.
pub async fn tmpfiles(file: &Path, root: Option<&Path>) -> Result<()> {
    let mut args = vec![OsString::from("--create")];
    if let Some(root) = root {
        let mut option = OsString::from("--root=");
        option.push(root);
        args.push(option);
    }
    args.push(file.into());
    run("systemd-tmpfiles", args, CHANGE).await?.ok().map(|_| ())
}

/// What this machine's systemd thinks of unit files. Without `--recursive-errors=no` it says nothing of unknown keys
/// and bad values (SYSTEM-FACTS 6).
pub async fn verify_units(files: &[&Path]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let options = ["verify", "--man=no", "--recursive-errors=no"].map(OsStr::new);
    let args = options.into_iter().chain(files.iter().map(|file| file.as_os_str()));
    run("systemd-analyze", args, CHECK).await?.ok().map(|_| ())
}

/// What nats-server thinks of a configuration.
pub async fn check_server_config(server: &Path, config: &Path) -> Result<()> {
    let args = [OsStr::new("-t"), OsStr::new("-c"), config.as_os_str()];
    run(server, args, CHECK).await?.ok().map(|_| ())
}

/// A unit's last lines in the journal: words for an error, so where there are none there are none.
pub async fn journal(unit: &str, lines: usize) -> String {
    const PATIENCE: Duration = Duration::from_secs(5);
    const LONG: usize = 4096;
    // What a service wrote before it died may still be on its way.
    let _synced = run("journalctl", ["--sync"], PATIENCE).await;
    let lines = lines.to_string();
    let args = ["-u", unit, "-n", &lines, "-o", "cat", "--no-pager", "--quiet"];
    let said = match run("journalctl", args, PATIENCE).await {
        Ok(output) => output.stdout,
        Err(_) => return String::new(),
    };
    let said = said.trim_end();
    let from = said.char_indices().map(|(place, _)| place).find(|place| said.len() - place <= LONG);
    said[from.unwrap_or(said.len())..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const PATIENT: Duration = Duration::from_secs(60);

    async fn shell(script: &str, deadline: Duration) -> Result<Output> {
        run("/bin/sh", ["-c", script], deadline).await
    }

    #[tokio::test]
    async fn what_a_program_says_and_how_it_ends_is_kept_apart() {
        let output = shell("echo out; echo err >&2; exit 3", PATIENT).await.unwrap();
        assert_eq!((output.code, &*output.stdout, &*output.stderr), (Some(3), "out\n", "err\n"));
        let error = output.ok().unwrap_err().to_string();
        assert!(error.contains("failed with 3: err\nout"), "{error}");
        assert_eq!(run("echo", ["a b", "$HOME"], PATIENT).await.unwrap().ok().unwrap(), "a b $HOME\n");
        let killed = shell("kill -9 $$", PATIENT).await.unwrap();
        assert!(killed.ok().unwrap_err().to_string().contains("was killed"));
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let error = run("no-such-program-of-leafwright", [""; 0], PATIENT).await.unwrap_err();
        assert!(format!("{error:#}").contains("cannot run no-such-program-of-leafwright"), "{error:#}");
    }

    #[tokio::test]
    async fn nothing_of_our_environment_reaches_a_program() {
        let environment = run("env", [""; 0], PATIENT).await.unwrap().ok().unwrap();
        let names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert_eq!(names, ["LANG", "PATH"], "{environment}");
    }

    #[tokio::test]
    async fn a_deadline_kills_the_program_and_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        // The grandchild holds the pipe, so that only its death ends the reading.
        let script = format!("sleep 600 & echo $! >{}; wait", file.display());
        let began = Instant::now();
        let mut deadline = Duration::from_millis(200);
        let pid = loop {
            let error = shell(&script, deadline).await.unwrap_err().to_string();
            assert!(error.contains(&format!("did not end within {deadline:?} and was killed")), "{error}");
            // On a busy machine the program may not have come so far.
            match std::fs::read_to_string(&file) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                _ => deadline *= 2,
            }
            assert!(began.elapsed() < PATIENT, "the program did not start");
        };
        let stat = format!("/proc/{}/stat", pid.trim());
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        while lives() {
            assert!(began.elapsed() < PATIENT, "the grandchild {pid} lives on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn what_must_not_be_cut_short_goes_on_without_us() {
        let directory = tempfile::tempdir().unwrap();
        let (log, done) = (directory.path().join("log"), directory.path().join("done"));
        // It waits until nobody waits for it any more.
        let script = format!(
            "echo $A; echo err >&2; [ \"$1\" ] || exit 3; while [ -e $1 ]; do sleep 0.01; done; echo x >{}",
            done.display()
        );
        let alone = |args: &[&str], log: &Path| {
            let args: Vec<OsString> = ["-c", &script, "sh"].iter().chain(args).map(OsString::from).collect();
            let log = log.to_owned();
            async move {
                let args: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
                let alone =
                    Alone { program: OsStr::new("/bin/sh"), args: &args, environment: &[("A", "b")], log: &log };
                run_alone(&alone, PATIENT).await
            }
        };
        assert_eq!(alone(&[], &log).await.unwrap(), Some(3));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "b\nerr\n");
        let held = directory.path().join("held");
        std::fs::write(&held, "").unwrap();
        let given_up = tokio::time::timeout(Duration::from_millis(100), alone(&[held.to_str().unwrap()], &log)).await;
        assert!(given_up.is_err(), "{given_up:?}");
        std::fs::remove_file(&held).unwrap();
        let began = Instant::now();
        while !done.exists() {
            assert!(began.elapsed() < PATIENT, "it was cut short");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_flood_of_words_is_cut_and_does_not_block() {
        let output = shell("head -c 5000000 /dev/zero | tr '\\0' x", PATIENT).await.unwrap();
        assert_eq!((output.code, output.stdout.len() as u64), (Some(0), KEPT));
    }

    #[tokio::test]
    async fn nats_server_judges_a_configuration() {
        let server = crate::host::nats_server::find(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("./setup was run");
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("nats-server.json");
        std::fs::write(&config, "{\"port\": 4222}").unwrap();
        check_server_config(&server, &config).await.unwrap();
        std::fs::write(&config, "{\"prot\": 4222}").unwrap();
        let error = check_server_config(&server, &config).await.unwrap_err().to_string();
        assert!(error.contains("nats-server.json") && error.contains("prot"), "{error}");
    }

    /// These need no running systemd, so that a machine of developers with its programs will do.
    #[tokio::test]
    async fn systemd_s_programs_do_and_refuse() {
        if run("systemd-tmpfiles", ["--version"], PATIENT).await.is_err() {
            assert!(std::env::var_os("CI").is_none(), "systemd's programs are missing");
            eprintln!("SKIPPED: systemd's programs are missing");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let file = root.join("our.conf");
        std::fs::write(&file, "d /srv/ours 0750 - - -\n").unwrap();
        tmpfiles(&file, Some(root)).await.unwrap();
        assert!(root.join("srv/ours").is_dir());
        std::fs::write(&file, "nonsense /srv/ours\n").unwrap();
        let error = tmpfiles(&file, Some(root)).await.unwrap_err().to_string();
        assert!(error.contains("systemd-tmpfiles --create") && error.contains("our.conf:1"), "{error}");
        let unit = root.join("our.service");
        std::fs::write(&unit, "[Service]\nExecStart=/bin/true\n").unwrap();
        verify_units(&[&unit]).await.unwrap();
        std::fs::write(&unit, "[Service]\nExecStart=/bin/true\nMemoryMaximum=1G\n").unwrap();
        let error = verify_units(&[&unit]).await.unwrap_err().to_string();
        assert!(error.contains("MemoryMaximum"), "{error}");
    }
}
