//! The NATS protocol by hand, for one purpose: to know for certain whether the server refused.
//!
//! Refuses: guessing by time. A violation is answered in order, so when the PONG comes, every `-ERR` before it has come.
//! A client library hands such errors to a callback, some time.

use crate::host::endpoint::{Login, connect_options};
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// What a user tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    Publish(String),
    Subscribe(String),
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Attempt::Publish(subject) => write!(f, "publish to `{subject}`"),
            Attempt::Subscribe(subject) => write!(f, "subscribe to `{subject}`"),
        }
    }
}

/// Names a stream that does not exist: a message that carries it is refused by every stream that captures its subject,
/// so that an attempt that should have been refused by permission stores nothing all the same.
pub const CANARY: &str = "LEAFWRIGHT-CANARY";

/// What the connection is called in the server's log.
const NAME: &str = "leafwright verify";

/// One logged-in connection.
pub struct Wire {
    stream: BufReader<TcpStream>,
    /// Messages that came while something else was waited for.
    heard: VecDeque<String>,
}

/// What the server sends.
enum Line {
    Pong,
    Error(String),
    Message(String),
    Other,
}

impl Wire {
    /// Logs in, without TLS: leaves listen on loopback.
    pub async fn open(address: SocketAddr, login: &Login) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address))
            .await?
            .with_context(|| format!("cannot connect to {address}"))?;
        let mut wire = Self { stream: BufReader::new(stream), heard: VecDeque::new() };
        let mut greeting = String::new();
        timeout(PATIENCE, wire.stream.read_line(&mut greeting)).await??;
        let info = serde_json::from_str(greeting.strip_prefix("INFO ").context("this is no nats-server")?)?;
        let mut connect = connect_options(&info, Some(login)).map_err(anyhow::Error::msg)?;
        // nats-server's log names it: whoever finds the refusals there sees that they were meant.
        connect["name"] = NAME.into();
        match wire.sent(format!("CONNECT {connect}\r\n")).await?.first() {
            None => Ok(wire),
            Some(error) => bail!("{error}"),
        }
    }

    /// Was the attempt refused by permission? `None`: it was not.
    pub async fn refused(&mut self, attempt: &Attempt) -> Result<Option<String>> {
        let command = match attempt {
            Attempt::Publish(subject) => publish(subject, ""),
            Attempt::Subscribe(subject) => format!("SUB {subject} 9\r\nUNSUB 9\r\n"),
        };
        let errors = self.sent(command).await?;
        Ok(errors.into_iter().find(|error| error.contains("Permissions Violation")))
    }

    /// Publishes what no stream will take, and hears what the stream that captures the subject says to it.
    pub async fn declined(&mut self, subject: &str, inbox: &str) -> Result<String> {
        self.heard.clear();
        let command = format!("SUB {inbox} 8\r\n{}", publish(subject, &format!("{inbox} ")));
        if let Some(error) = self.sent(command).await?.first() {
            bail!("{error}");
        }
        let answer = timeout(PATIENCE, self.message()).await.map_err(|_| anyhow::anyhow!("no stream answered"))??;
        self.sent("UNSUB 8\r\n".into()).await?;
        Ok(answer)
    }

    async fn message(&mut self) -> Result<String> {
        loop {
            if let Some(text) = self.heard.pop_front() {
                return Ok(text);
            }
            if let Line::Message(text) = self.line().await? {
                self.heard.push_back(text);
            }
        }
    }

    /// Sends the commands and answers the errors that the server had about them.
    async fn sent(&mut self, commands: String) -> Result<Vec<String>> {
        self.stream.get_mut().write_all(format!("{commands}PING\r\n").as_bytes()).await?;
        let mut errors = vec![];
        loop {
            match timeout(PATIENCE, self.line()).await.context("no answer from the server")? {
                Ok(Line::Pong) => return Ok(errors),
                Ok(Line::Error(error)) => errors.push(error),
                Ok(Line::Message(text)) => self.heard.push_back(text),
                Ok(Line::Other) => {}
                // The server says why before it closes a connection.
                Err(error) => return if errors.is_empty() { Err(error) } else { Ok(errors) },
            }
        }
    }

    async fn line(&mut self) -> Result<Line> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            bail!("the server closed the connection");
        }
        let line = line.trim_end();
        let word = line.split(' ').next().unwrap_or_default();
        Ok(match word {
            "PONG" => Line::Pong,
            "PING" => {
                self.stream.get_mut().write_all(b"PONG\r\n").await?;
                Line::Other
            }
            "-ERR" => Line::Error(line["-ERR".len()..].trim().trim_matches('\'').to_owned()),
            "MSG" | "HMSG" => Line::Message(self.payload(line).await?),
            _ => Line::Other,
        })
    }

    /// What follows a `MSG` or `HMSG` line; headers, if any, stand before the payload.
    async fn payload(&mut self, line: &str) -> Result<String> {
        let length: usize = line.rsplit(' ').next().unwrap_or_default().parse()?;
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }
}

/// A message without payload that every stream refuses.
fn publish(subject: &str, reply: &str) -> String {
    let headers = format!("NATS/1.0\r\nNats-Expected-Stream: {CANARY}\r\n\r\n");
    format!("HPUB {subject} {reply}{0} {0}\r\n{headers}\r\n", headers.len())
}
