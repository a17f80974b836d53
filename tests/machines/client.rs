//! A client of a machine's own nats-server, by hand: one connection, which is never made again where it ends.
//!
//! Refuses: what the client library is for. A library that connects again would hide what is looked for here.

use crate::lab::Machine;
use leafwright::host::endpoint::{Login, connect_options};
use leafwright::host::keys::Secret;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(10);

pub struct Client {
    stream: BufReader<TcpStream>,
    /// By this number the server knows the connection.
    pub cid: u64,
}

impl Client {
    /// As the leaf's provisioner, who may say and hear everything there.
    pub fn of(machine: &Machine) -> Self {
        Self::try_of(machine).expect("nats-server takes the connection")
    }

    /// `None` while nats-server is not there.
    pub fn try_of(machine: &Machine) -> Option<Self> {
        Self::open(machine, &provisioner(machine))
    }

    pub fn open(machine: &Machine, login: &Login) -> Option<Self> {
        Self::over(machine.in_network(|| TcpStream::connect("127.0.0.1:4222")).ok()?, login)
    }

    /// Over a connection that somebody has made.
    pub fn over(stream: TcpStream, login: &Login) -> Option<Self> {
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        let mut client = Self { stream: BufReader::new(stream), cid: 0 };
        let info = client.line()?;
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ").expect("it is one")).unwrap();
        client.cid = info["client_id"].as_u64().unwrap();
        let options = connect_options(&info, Some(login)).unwrap();
        client.say(&format!("CONNECT {options}\r\nPING\r\n"));
        client.until(|line| line == "PONG")?;
        Some(client)
    }

    pub fn subscribe(&mut self, subject: &str) {
        self.say(&format!("SUB {subject} 1\r\nPING\r\n"));
        self.until(|line| line == "PONG").expect("nats-server takes the subscription");
    }

    pub fn publish(&mut self, subject: &str, reply: &str, payload: &str) {
        self.say(&format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len()));
    }

    /// The next message's payload; `None` where the connection has ended.
    pub fn hear(&mut self) -> Option<String> {
        let line = self.until(|line| line.starts_with("MSG ") || line.starts_with("HMSG "))?;
        let length = |word: Option<&str>| word.and_then(|word| word.parse::<usize>().ok()).expect("a length");
        let mut words = line.split_whitespace();
        let all = length(words.next_back());
        let headers = if line.starts_with('H') { length(words.next_back()) } else { 0 };
        let mut bytes = vec![0; all + 2];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[headers..all]).into_owned())
    }

    fn say(&mut self, words: &str) {
        // A connection that has ended is found where it is read.
        let _ended = self.stream.get_mut().write_all(words.as_bytes());
    }

    fn until(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        loop {
            let line = self.line()?;
            if line == "PING" {
                self.say("PONG\r\n");
            }
            assert!(!line.starts_with("-ERR"), "{line}");
            if wanted(&line) {
                return Some(line);
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => None,
            Err(error) => panic!("nothing came within {ANSWER:?}: {error}"),
        }
    }
}

pub fn provisioner(machine: &Machine) -> Login {
    let key = format!("/var/lib/leafwright/keys/machines/{}/provisioner.nk", machine.name());
    Login::NKey(Secret::new(machine.read(&key).expect("the machine has its keys")))
}

/// What the monitoring port of the machine's nats-server answers.
pub fn monitored(machine: &Machine, path: &str) -> Value {
    let config = machine.read("/etc/nats/nats-server.json").expect("it is configured");
    let config: Value = serde_json::from_str(&config).expect("it is JSON");
    let address = config["http"].as_str().expect("it is monitored").to_owned();
    let answer = machine.in_network(|| {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    });
    let answer = answer.expect("it answers");
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("it is JSON")
}

/// When a connection began, as the server has it: `None` for one that it does not have.
pub fn began(machine: &Machine, cid: u64) -> Option<String> {
    let connections = monitored(machine, "/connz?limit=1000");
    let connections = connections["connections"].as_array().expect("there are some");
    let found = connections.iter().find(|connection| connection["cid"] == cid);
    found.map(|connection| connection["start"].as_str().expect("it began").to_owned())
}
