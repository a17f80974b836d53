//! Credentials that only this machine can read: systemd-creds(1), with the key of the host. Units load them by
//! `LoadCredentialEncrypted=`.
//!
//! Refuses: secrets in arguments, in files beside, and in errors: they go through pipes, and what it prints of them is overwritten.

use crate::host::keys::Secret;
use crate::host::process::PATH;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use zeroize::Zeroizing;

/// It reads a key and a few bytes.
const DEADLINE: Duration = Duration::from_secs(30);
/// More than any secret here has, encrypted and printed; read into one buffer, which leaves no copies behind.
const LONGEST: usize = 256 << 10;

/// The secret as `name`, for the eyes of this machine alone. Other bytes each time.
pub fn encrypt(name: &str, secret: &Secret) -> Result<Secret> {
    // A TPM is not asked, even where there is one: a new firmware would lock the machine's services out at the next boot.
    let name = format!("--name={name}");
    let blob = run(&["encrypt", "--with-key=host", &name, "-", "-"].map(OsStr::new), secret.reveal().as_bytes())?;
    let text = std::str::from_utf8(&blob).context("systemd-creds printed no text")?;
    Ok(Secret::new(text.to_owned()))
}

/// Does the file hold this secret as `name`? What cannot be decrypted, with another key or under another name, does not.
pub fn holds(path: &Path, name: &str, secret: &Secret) -> bool {
    let name = format!("--name={name}");
    let args = [OsStr::new("decrypt"), OsStr::new(&name), path.as_os_str(), OsStr::new("-")];
    run(&args, b"").is_ok_and(|there| there.as_slice() == secret.reveal().as_bytes())
}

/// Whether this machine can encrypt, and decrypt what it has encrypted.
pub fn works() -> Result<()> {
    let blob = encrypt("probe", &Secret::new("probe".to_owned()))?;
    let back = run(&["decrypt", "--name=probe", "-", "-"].map(OsStr::new), blob.reveal().as_bytes())?;
    ensure!(back.as_slice() == b"probe", "systemd-creds does not decrypt what it encrypted");
    Ok(())
}

fn run(args: &[&OsStr], input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut command = Command::new("systemd-creds");
    command.args(args).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().context("cannot run systemd-creds, which systemd 250 and newer have")?;
    let pid = Pid::from_child(&child);
    let input = Zeroizing::new(input.to_vec());
    let (tell, told) = mpsc::channel();
    // The thread ends with the program: nobody waits for it.
    std::thread::spawn(move || tell.send(talk(child, &input)));
    let Ok(said) = told.recv_timeout(DEADLINE) else {
        // Its thread has not seen its end yet, so the number is still its own.
        let _gone = kill_process(pid, Signal::KILL);
        bail!("systemd-creds did not end within {} s and was killed", DEADLINE.as_secs());
    };
    said
}

/// What it needs is less than a pipe takes, and what it prints is read to the end: neither waits for the other.
fn talk(mut child: Child, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut said = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut words = String::new();
    if let Some(mut stdin) = stdin {
        // One that ends without reading says why.
        let _unread = stdin.write_all(input);
    }
    if let Some(stdout) = stdout {
        stdout.take(LONGEST as u64).read_to_end(&mut said).context("cannot hear systemd-creds")?;
    }
    if let Some(stderr) = stderr {
        stderr.take(LONGEST as u64).read_to_string(&mut words).context("cannot hear systemd-creds")?;
    }
    let status = child.wait().context("cannot wait for systemd-creds")?;
    ensure!(status.success(), "systemd-creds: {}", words.trim());
    Ok(said)
}
