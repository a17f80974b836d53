//! Where units of ours listen, against what is declared: nats-server by its configuration, every other unit by `SocketBindAllow=`.
//!
//! Refuses: other programs of the machine, and connections that a unit makes itself.

use super::content::Content;
use super::model::Stray;
use crate::compile::units::NATS;
use crate::resolve::Unit;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Who listens, and where; over TCP.
pub type Listening = BTreeMap<String, BTreeSet<SocketAddr>>;

/// What nobody declared. Keys are units, or, for a nats-server that is none of our units, words that say which.
pub fn strays(content: &Content, seen: &Listening) -> Vec<Stray> {
    let all = seen.iter().flat_map(|(who, addresses)| addresses.iter().map(move |address| (who, address)));
    all.filter_map(|(who, address)| stray(content, who, *address)).collect()
}

fn stray(content: &Content, who: &str, address: SocketAddr) -> Option<Stray> {
    let what = format!("it listens on {address}, which nobody declared");
    let (is_declared, way_out) = match content.definition(who) {
        Some(_) if who == NATS => (
            of_server(&content.server).iter().any(|declared| declared.is(address)),
            format!(
                "`systemctl cat {NATS}` shows what was added to it; `systemctl restart {NATS}` starts it as declared"
            ),
        ),
        Some(unit) => (
            may_listen(unit, address),
            format!(
                "look at it, `systemctl status {who}`, and restart it; or declare the port: `listen` of a service, `SocketBindAllow` of a unit"
            ),
        ),
        None => (false, "look at it with `ss -ltnp`, and stop it: this machine's own is a unit".to_owned()),
    };
    (!is_declared).then(|| Stray { about: who.to_owned(), what, way_out })
}

/// An address of nats-server's configuration; by a name one cannot say which.
struct Declared {
    ip: Option<IpAddr>,
    port: u16,
}

impl Declared {
    fn is(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let same = self.ip.is_none_or(|own| own == ip || (own.is_unspecified() && ip.is_unspecified()));
        same && self.port == address.port()
    }
}

fn of_server(config: &Value) -> Vec<Declared> {
    let blocks =
        ["cluster", "leafnodes", "gateway", "websocket", "mqtt"].into_iter().filter_map(|name| config.get(name));
    let blocks = std::iter::once(config).chain(blocks);
    let written = blocks.flat_map(|block| ["listen", "http", "https"].map(|key| block.get(key)));
    written.flatten().filter_map(declared).collect()
}

fn declared(written: &Value) -> Option<Declared> {
    if let Some(port) = written.as_u64() {
        return Some(Declared { ip: None, port: u16::try_from(port).ok()? });
    }
    let text = written.as_str()?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Declared { ip: Some(address.ip()), port: address.port() });
    }
    Some(Declared { ip: None, port: text.rsplit(':').next()?.parse().ok()? })
}

/// A unit that may reach its own machine alone listens there alone; one whose ports are not limited may have any on loopback.
fn may_listen(unit: &Unit, address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_limited = words(unit, "SocketBindDeny").any(|word| word == "any");
    let is_allowed = words(unit, "SocketBindAllow").any(|rule| allows(rule, address.port()));
    let is_alone = words(unit, "IPAddressDeny").any(|word| word == "any")
        && words(unit, "IPAddressAllow").all(|word| word == "localhost");
    match ip.is_loopback() {
        true => is_allowed || !is_limited,
        false => is_allowed && !is_alone,
    }
}

fn words<'a>(unit: &'a Unit, directive: &str) -> impl Iterator<Item = &'a str> {
    let lines = unit.get("Service").and_then(|service| service.get(directive)).into_iter().flatten();
    lines.flat_map(|line| line.split_whitespace())
}

/// `any`, `tcp`, `tcp:8080`, `ipv4:tcp:8000-8100` (systemd.resource-control(5)).
fn allows(rule: &str, port: u16) -> bool {
    let parts: Vec<&str> = rule.split(':').filter(|part| !matches!(*part, "ipv4" | "ipv6" | "tcp")).collect();
    match parts.as_slice() {
        [] | ["any"] => true,
        [ports] => {
            let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
            matches!((from.parse::<u16>(), to.parse::<u16>()), (Ok(from), Ok(to)) if (from..=to).contains(&port))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::machine::read_unit;
    use serde_json::json;

    #[test]
    fn nats_server_listens_where_its_configuration_says() {
        let config = json!({ "listen": "127.0.0.1:4222", "http": "127.0.0.1:8222", "cluster": { "listen": "0.0.0.0:6222" }, "websocket": { "listen": 9222 } });
        let is = |address: &str| of_server(&config).iter().any(|declared| declared.is(address.parse().unwrap()));
        for address in [
            "127.0.0.1:4222",
            "127.0.0.1:8222",
            "[::]:6222",
            "0.0.0.0:6222",
            "10.0.0.1:9222",
            "[::ffff:127.0.0.1]:4222",
        ] {
            assert!(is(address), "{address}");
        }
        for address in ["0.0.0.0:4222", "[::]:4222", "127.0.0.1:4223", "10.0.0.1:6222"] {
            assert!(!is(address), "{address}");
        }
    }

    #[test]
    fn a_unit_listens_where_its_directives_say() {
        let may = |lines: &str, address: &str| {
            may_listen(&read_unit(&format!("[Service]\n{lines}\n")), address.parse().unwrap())
        };
        let service = "IPAddressDeny=any\nIPAddressAllow=localhost\nSocketBindDeny=any\nSocketBindAllow=tcp:8080";
        assert!(may(service, "127.0.0.1:8080"));
        assert!(!may(service, "0.0.0.0:8080") && !may(service, "127.0.0.1:8081") && !may(service, "[::]:8080"));
        assert!(may("", "127.0.0.1:1") && !may("", "0.0.0.0:53"));
        assert!(may("SocketBindAllow=ipv4:tcp:50-60", "0.0.0.0:53") && may("SocketBindAllow=any", "[::]:53"));
        assert!(!may("SocketBindAllow=udp:53", "0.0.0.0:53"));
    }
}
