//! systemd's own socket, made readable for zbus.
//!
//! On it systemd sends under its well-known name, and zbus takes no sender that is not a unique name: version 5 panics, version 6 hangs
//! up. So messages pass through here, and one letter of the sender changes. Refuses: to change anything else.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

const SOCKET: &str = "/run/systemd/private";

/// The header field of a sender (code 7, a string), before the length of the name.
const FIELD: [u8; 4] = [7, 1, b's', 0];

const SENDER: &[u8] = b"org.freedesktop.systemd1\0";

/// Unique names begin with it; the length stays as it is.
const FIRST_LETTER: u8 = b':';

/// Bytes of a header before its fields, the length of the fields included.
const FIXED: usize = 16;

/// No message is longer (D-Bus specification), and systemd's are far from it.
const LONGEST: usize = 128 << 20;

/// The near end of an authenticated connection, and the peer's id. Its far end is closed when the near end is dropped.
pub(super) async fn open() -> Result<(UnixStream, String)> {
    let mut systemd = UnixStream::connect(SOCKET).await.with_context(|| format!("cannot connect to {SOCKET}"))?;
    let id = authenticate(&mut systemd).await.with_context(|| format!("{SOCKET} does not let us in"))?;
    let (near, far) = UnixStream::pair().context("cannot make a pair of sockets")?;
    tokio::spawn(pass(systemd, far));
    Ok((near, id))
}

/// Says who we are, which the kernel confirms, and that messages begin. Both in one: what systemd reads together with the second line
/// it leaves lying until more comes, so nothing may follow before it has answered.
async fn authenticate(systemd: &mut UnixStream) -> Result<String> {
    let user = data_encoding::HEXLOWER.encode(rustix::process::geteuid().as_raw().to_string().as_bytes());
    systemd.write_all(format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        if answer.len() > 200 {
            bail!("it answers with a flood");
        }
        answer.push(systemd.read_u8().await?);
    }
    let answer = String::from_utf8_lossy(&answer);
    let id = answer.trim().strip_prefix("OK ").with_context(|| format!("it answers {:?}", answer.trim()))?;
    Ok(id.to_owned())
}

/// Both directions, until either side hangs up; then both sides are closed.
async fn pass(systemd: UnixStream, far: UnixStream) {
    let (mut from_systemd, mut to_systemd) = systemd.into_split();
    let (mut from_us, mut to_us) = far.into_split();
    // What goes wrong here shows at both ends as a connection that is lost.
    tokio::select! {
        _ended = renamed(&mut from_systemd, &mut to_us) => {}
        _ended = tokio::io::copy(&mut from_us, &mut to_systemd) => {}
    }
}

async fn renamed(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    loop {
        let mut message = vec![0; FIXED];
        from.read_exact(&mut message).await?;
        let lengths = lengths(&message).ok_or(std::io::ErrorKind::InvalidData)?;
        message.resize(FIXED + lengths.fields + lengths.body, 0);
        from.read_exact(&mut message[FIXED..]).await?;
        rename(&mut message[..FIXED + lengths.fields]);
        to.write_all(&message).await?;
    }
}

struct Lengths {
    /// With what fills them up to a multiple of eight.
    fields: usize,
    body: usize,
}

fn lengths(fixed: &[u8]) -> Option<Lengths> {
    let number = |place: usize| {
        let bytes: [u8; 4] = fixed.get(place..place + 4)?.try_into().ok()?;
        match fixed[0] {
            b'l' => usize::try_from(u32::from_le_bytes(bytes)).ok(),
            b'B' => usize::try_from(u32::from_be_bytes(bytes)).ok(),
            _ => None,
        }
    };
    let (body, fields) = (number(4)?, number(12)?.checked_next_multiple_of(8)?);
    (body <= LONGEST && fields <= LONGEST).then_some(Lengths { fields, body })
}

/// Fields begin at multiples of eight, and none but the sender's begins with these bytes.
fn rename(header: &mut [u8]) {
    for place in (FIXED..header.len()).step_by(8) {
        let name = place + FIELD.len() + 4;
        if header[place..].starts_with(&FIELD) && header.get(name..).is_some_and(|rest| rest.starts_with(SENDER)) {
            header[name] = FIRST_LETTER;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::Message;

    const RENAMED: &str = ":rg.freedesktop.systemd1";

    /// As systemd sends it: zbus does not build such a message.
    fn of_systemd(body: &str) -> Vec<u8> {
        let signal = Message::signal("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "JobRemoved");
        let message = signal.unwrap().sender(RENAMED).unwrap().build(&body).unwrap();
        let mut bytes = message.data().to_vec();
        let place = bytes.windows(RENAMED.len()).position(|window| window == RENAMED.as_bytes()).unwrap();
        bytes[place] = b'o';
        bytes
    }

    async fn passed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let error = renamed(&mut &*bytes, &mut out).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        out
    }

    #[tokio::test]
    async fn the_sender_changes_and_nothing_else() {
        // A body that looks like a sender stays as it is.
        let body = "\u{7}\u{1}s\0aaaaorg.freedesktop.systemd1\0";
        let [first, second] = [of_systemd(body), of_systemd("")];
        let both = [first.clone(), second].concat();
        let out = passed(&both).await;
        let changed: Vec<usize> = (0..both.len()).filter(|&place| both[place] != out[place]).collect();
        assert_eq!((changed.len(), out.len()), (2, both.len()));
        for place in &changed {
            assert_eq!(&out[*place..*place + RENAMED.len()], RENAMED.as_bytes());
        }
        assert!(changed[0] < first.len() && changed[1] > first.len());
    }

    #[tokio::test]
    async fn messages_of_others_pass_as_they_are() {
        let message = Message::signal("/a", "b.c", "D").unwrap().sender(":1.7").unwrap().build(&"e").unwrap();
        assert_eq!(passed(message.data()).await, message.data().to_vec());
    }

    #[tokio::test]
    async fn what_is_no_message_ends_the_connection() {
        let error = renamed(&mut &[b'x'; 64][..], &mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        let mut long = vec![b'l'; 16];
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = renamed(&mut &*long, &mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}
