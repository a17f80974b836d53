//! A machine that is brought up from outside: programs run and files put there, over ssh or right here.
//!
//! Refuses: switching the check of the host key off, passwords, and shells of its own: every word is quoted.

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a program there said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Where the machine is.
#[derive(Clone, Debug)]
pub enum Place {
    /// This machine.
    Here,
    /// Over `ssh`, with its own configuration and known hosts.
    Ssh { target: String, port: Option<u16>, identity: Option<PathBuf>, known_hosts: Option<PathBuf>, sockets: PathBuf },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Here => f.write_str("this machine"),
            Place::Ssh { target, .. } => f.write_str(target),
        }
    }
}

impl Place {
    /// Runs a program to its end. `stderr` goes on to the person while it works where `Loud`.
    pub fn run(&self, words: &[&str], stdin: &[u8], voice: Voice) -> Result<Said> {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(if voice == Voice::Loud { Stdio::inherit() } else { Stdio::piped() });
        let say = || format!("cannot run {} on {self}", words.first().copied().unwrap_or_default());
        let mut child = command.spawn().with_context(say)?;
        let mut input = child.stdin.take().context("a pipe")?;
        let bytes = stdin.to_vec();
        // Both ways at once: it may say much before it has read all.
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let output = child.wait_with_output().with_context(say)?;
        // Whoever does not read its input says by its exit code whether that matters.
        let _unread = writer.join();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        if matches!(self, Place::Ssh { .. }) && said.code == Some(255) {
            bail!(
                "cannot reach {self} by ssh: {}\nhelp: `ssh {self} true` must work without a question; the host key must be known, and is never skipped",
                said.stderr.trim()
            );
        }
        Ok(said)
    }

    /// What it printed; an error with everything that it said if it ended badly.
    pub fn must(&self, words: &[&str], stdin: &[u8], voice: Voice) -> Result<String> {
        let said = self.run(words, stdin, voice)?;
        if said.code == Some(0) {
            return Ok(said.stdout);
        }
        let code = said.code.map_or("a signal".to_owned(), |code| code.to_string());
        let words = words.join(" ");
        match said.stderr.trim() {
            "" => bail!("on {self}, {words} ended with {code}"),
            stderr => bail!("on {self}, {words} ended with {code}: {stderr}"),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        match self {
            Place::Here => {
                let mut command = Command::new(words.first().copied().unwrap_or_default());
                command.args(words.iter().skip(1));
                command
            }
            Place::Ssh { target, port, identity, known_hosts, sockets } => {
                let mut command = Command::new("ssh");
                command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
                // One connection for all commands.
                command.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=30"]);
                command.arg("-o").arg(format!("ControlPath={}", sockets.join("%C").display()));
                if let Some(known) = known_hosts {
                    command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
                }
                if let Some(port) = port {
                    command.args(["-p", &port.to_string()]);
                }
                if let Some(identity) = identity {
                    command.arg("-i").arg(identity);
                }
                let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                command.arg("--").arg(target).arg(line.join(" "));
                command
            }
        }
    }

    /// Puts a file there, whole, unless the same one is there already. Says whether it had to. Before it takes the place
    /// of what is there, it is tried beside it: what does not work there changes nothing.
    pub fn put(&self, path: &str, bytes: &[u8], mode: &str, works: Works<'_>) -> Result<Put> {
        let wanted = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
        let there = self.run(&["sha256sum", path], b"", Voice::Quiet)?;
        if there.code == Some(0) && there.stdout.starts_with(&wanted) {
            return Ok(Put::WasThere);
        }
        let beside = format!("{path}.leafwright-new");
        // `cat` gets a script because something must redirect; its words are ours alone.
        let script = format!("cat > {0} && chmod {mode} {0}", quoted(&beside));
        let say = || format!("cannot put {path}");
        self.must(&["sh", "-c", &script], bytes, Voice::Quiet).with_context(say)?;
        let there = self.must(&["sha256sum", &beside], b"", Voice::Quiet)?;
        let judged = match there.starts_with(&wanted) {
            true => works(&beside),
            false => Err(anyhow::anyhow!("{path} on {self} is not what was sent")),
        };
        if let Err(error) = judged {
            // The reason is what counts.
            let _left = self.run(&["rm", "-f", &beside], b"", Voice::Quiet);
            return Err(error);
        }
        self.must(&["mv", "-f", &beside, path], b"", Voice::Quiet).with_context(say)?;
        Ok(Put::Sent)
    }
}

/// Tries a file by its path there.
pub type Works<'a> = &'a dyn Fn(&str) -> Result<()>;

/// Whether a file was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Sent,
    WasThere,
}

/// Who hears what a program says on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Quiet,
    Loud,
}

/// A word for a POSIX shell, which ssh always puts in between.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A directory of files as a tar archive (ustar), for `tar -x` there: text of the domain, nothing else.
pub fn archive(root: &Path, parts: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new("tar");
    command.arg("-C").arg(root).args(["--sort=name", "--owner=0", "--group=0", "-cf", "-"]);
    command.args(parts.iter().filter(|part| root.join(part).exists()));
    let output = command.output().context("cannot run tar")?;
    if !output.status.success() {
        bail!("tar failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_gets_out_of_its_quotes() {
        for word in ["plain", "it's", "a b", "$(id)", "`id`", "'; id; '", "\\", "\n"] {
            let output = Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(word))).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
    }

    #[test]
    fn a_file_is_put_once_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("it's here");
        let path = path.to_str().unwrap();
        let put = |bytes| Place::Here.put(path, bytes, "0755", &|_| Ok(())).unwrap();
        assert_eq!(put(b"one"), Put::Sent);
        assert_eq!(put(b"one"), Put::WasThere);
        assert_eq!(put(b"two"), Put::Sent);
        let tried = |beside: &str| match std::fs::read(beside).unwrap().as_slice() {
            b"three" => bail!("it does not work"),
            other => panic!("{other:?}"),
        };
        assert_eq!(Place::Here.put(path, b"three", "0755", &tried).unwrap_err().to_string(), "it does not work");
        assert_eq!(std::fs::read(path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
