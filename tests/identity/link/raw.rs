//! A leaf node without manners: it speaks the leaf protocol by hand and ignores the permissions that the hub tells it.

use leafwright::host::keys::NKey;
use leafwright::identity::jwt::Signer;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub struct RawLeaf {
    stream: BufReader<TcpStream>,
}

impl RawLeaf {
    pub fn connect(port: u16, key: &NKey, jwt: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut leaf = Self { stream: BufReader::new(stream) };
        let info: Value = serde_json::from_str(leaf.line().unwrap().strip_prefix("INFO ").unwrap()).unwrap();
        let signature = key.sign(info["nonce"].as_str().unwrap().as_bytes());
        let connect = json!({
            "jwt": jwt, "sig": data_encoding::BASE64URL_NOPAD.encode(&signature), "name": "evil", "server_id": "EVIL",
            "version": "2.15.1", "headers": true, "jetstream": true, "domain": "office", "protocol": 1,
        });
        leaf.write(&format!("CONNECT {connect}\r\nPING\r\n"));
        leaf
    }

    fn write(&mut self, text: &str) {
        let _ = self.stream.get_mut().write_all(text.as_bytes());
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    pub fn publish(&mut self, subject: &str, reply: &str, payload: &str) {
        let reply = if reply.is_empty() { String::new() } else { format!("{reply} ") };
        self.write(&format!("LMSG {subject} {reply}{}\r\n{payload}\r\n", payload.len()));
    }

    pub fn subscribe(&mut self, subject: &str) {
        self.write(&format!("LS+ {subject}\r\n"));
    }

    /// All that the hub says until it is silent: subjects and payloads of messages, interest, errors.
    pub fn heard(&mut self) -> Vec<String> {
        let mut heard = vec![];
        while let Some(line) = self.line() {
            if line == "PING" {
                self.write("PONG\r\n");
            }
            if line.starts_with("LMSG") || line.starts_with("HMSG") || line.starts_with("LHMSG") {
                let size: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
                let mut payload = vec![0; size + 2];
                self.stream.read_exact(&mut payload).unwrap();
            }
            heard.push(line);
        }
        heard
    }
}
