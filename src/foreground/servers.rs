//! The nats-servers of the machines: started, ready, linked. Whether they are is asked of the servers themselves.
//!
//! Refuses: sleeping for luck. Every wait polls, has a deadline, and ends in an error that says what was missing.

use super::state::State;
use super::supervise::Family;
use crate::compile::{Desired, DesiredServer};
use crate::host::monitor;
use crate::host::nats_server::fatal;
use crate::host::process::{Spec, last_words};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const POLL: Duration = Duration::from_millis(20);
/// A server answers within a tenth of a second; recovery of a large store may take longer.
const READY: Duration = Duration::from_secs(60);
const GREETING: Duration = Duration::from_secs(2);
/// A leaf dials again after a second; an election of the meta leader takes up to five.
const LINKED: Duration = Duration::from_secs(60);

/// The configuration's place below a closure.
pub const CONFIG: &str = "etc/nats/nats-server.json";

/// How the server of one machine is started.
pub fn spec(state: &State, server: &DesiredServer, program: &Path) -> Spec {
    let machine = server.machine.as_str();
    let config = state.machine(machine).join("current").join(CONFIG);
    Spec {
        name: process_name(server),
        program: program.to_owned(),
        args: vec!["-c".to_owned(), config.to_string_lossy().into_owned()],
        environment: BTreeMap::new(),
        directory: state.machine(machine),
        log: state.log(machine, "nats-server"),
    }
}

pub fn process_name(server: &DesiredServer) -> String {
    format!("{}/nats-server", server.machine)
}

/// Waits until the server that answers on the monitoring port is the one that was started, and lets clients in.
/// One that ended will never answer; its last words are the error, and `blame` says where they come from, if it knows.
pub async fn ready(
    state: &State,
    server: &DesiredServer,
    family: &mut Family,
    blame: impl Fn(&str) -> Option<String>,
) -> Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        if let Some(status) = family.ended(&process_name(server))? {
            let log = state.log(server.machine.as_str(), "nats-server");
            let words = fatal(&last_words(&log, 20));
            let place = blame(&words).map_or(String::new(), |place| format!("\nhelp: {place}"));
            bail!("{} ended at once ({status}): {words}; log: {}{place}", process_name(server), log.display());
        }
        let missing = match monitor::varz(server.monitor).await {
            Ok(varz) if varz.server_name == server.machine.as_str() => {
                monitor::require_version(server.machine.as_str(), &varz.version)?;
                match greeting(server.listen).await {
                    Ok(()) => return Ok(()),
                    Err(error) => format!("{error:#}"),
                }
            }
            Ok(varz) => bail!("{} answers in the place of {}", varz.server_name, server.machine),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            let words = last_words(&state.log(server.machine.as_str(), "nats-server"), 5);
            bail!("the nats-server of {} does not answer ({missing}); the end of its log:\n{words}", server.machine);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The monitoring port answers before JetStream has recovered and clients are let in; the greeting comes when they are.
async fn greeting(listen: SocketAddr) -> Result<()> {
    let hello = async {
        let mut word = [0; 5];
        TcpStream::connect(listen).await?.read_exact(&mut word).await?;
        ensure!(&word == b"INFO ", "what answers on {listen} is no nats-server");
        Ok(())
    };
    tokio::time::timeout(GREETING, hello).await?.with_context(|| format!("nobody is let in on {listen}"))
}

/// Waits until every member sees every other one and a meta leader, and every leaf sees the cluster.
pub async fn linked(state: &State, desired: &Desired, servers: &[&DesiredServer]) -> Result<()> {
    let deadline = Instant::now() + LINKED;
    loop {
        let Some(missing) = what_is_not_linked(desired, servers).await? else { return Ok(()) };
        if Instant::now() > deadline {
            bail!("{missing}; the logs are in {}/machines/<machine>/log/", state.root().display());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The first link that is not there, as a phrase.
async fn what_is_not_linked(desired: &Desired, servers: &[&DesiredServer]) -> Result<Option<String>> {
    let members = desired.cluster_members.len();
    for server in servers {
        let missing = match server.member {
            true => member_misses(server, members).await?,
            false if members > 0 => leaf_misses(server).await?,
            false => None,
        };
        if missing.is_some() {
            return Ok(missing);
        }
    }
    Ok(None)
}

async fn member_misses(server: &DesiredServer, members: usize) -> Result<Option<String>> {
    let machine = &server.machine;
    if members > 1 {
        let routez = monitor::routez(server.monitor).await?;
        let others: std::collections::BTreeSet<&str> =
            routez.routes.iter().map(|route| route.remote_name.as_str()).collect();
        if others.len() < members - 1 {
            return Ok(Some(format!("{machine} is linked to {} of {} other members", others.len(), members - 1)));
        }
        let jsz = monitor::jsz(server.monitor).await?;
        if jsz.meta_cluster.is_none_or(|meta| meta.leader.is_empty()) {
            return Ok(Some(format!("{machine} knows no JetStream leader of the cluster")));
        }
    }
    let health = monitor::healthz(server.monitor).await?;
    Ok((health.status != "ok").then(|| format!("{machine} is not healthy: {}", health.error)))
}

async fn leaf_misses(server: &DesiredServer) -> Result<Option<String>> {
    let leafz = monitor::leafz(server.monitor).await?;
    Ok((leafz.leafnodes == 0).then(|| format!("{} is not linked to the cluster", server.machine)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::desired::Objects;
    use crate::name::MachineName;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    fn server(listen: SocketAddr, monitor: SocketAddr) -> DesiredServer {
        DesiredServer {
            machine: MachineName::parse("oak").unwrap(),
            closure_files: Default::default(),
            closure_digest: String::new(),
            listen,
            monitor,
            domain: "oak".into(),
            member: false,
            objects: Objects::default(),
            processes: vec![],
        }
    }

    /// A child in the place of oak's nats-server.
    fn family(state: &State, script: &str) -> Family {
        let mut family = Family::default();
        let child = Spec {
            name: "oak/nats-server".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            environment: BTreeMap::new(),
            directory: state.root().to_owned(),
            log: state.log("oak", "nats-server"),
        };
        family.start(child).unwrap();
        family
    }

    fn state(directory: &Path) -> State {
        let state = State::open(directory, "meadow").unwrap();
        state.prepare("oak").unwrap();
        state
    }

    #[tokio::test]
    async fn a_server_that_ends_is_not_waited_for_and_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let state = state(directory.path());
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut family = family(&state, "echo '[7] 2026/01/01 [FTL] the disk is full'; echo bye; exit 1");
        let blame = |words: &str| words.contains("disk").then(|| "see `leaf.store`".to_owned());
        let server = server(nobody, nobody);
        let ended = ready(&state, &server, &mut family, blame);
        let fault =
            tokio::time::timeout(READY / 2, ended).await.expect("it looks at the child").unwrap_err().to_string();
        assert!(
            fault.starts_with("oak/nats-server ended at once (exit status: 1): [FTL] the disk is full; log: /"),
            "{fault}"
        );
        assert!(fault.ends_with("nats-server.log\nhelp: see `leaf.store`"), "{fault}");
    }

    /// Recovery of a large store lies between the first answer of the monitoring port and the first client.
    #[tokio::test]
    async fn a_server_is_ready_when_it_lets_clients_in() {
        let directory = tempfile::tempdir().unwrap();
        let state = state(directory.path());
        let mut family = family(&state, "sleep 60");
        let monitor = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = server(closed.local_addr().unwrap(), monitor.local_addr().unwrap());
        drop(closed);
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(recovering(monitor, server.listen, asked.clone()));
        ready(&state, &server, &mut family, |_| None).await.unwrap();
        assert!(asked.load(Ordering::SeqCst) >= 3, "it was ready before anybody was let in");
        family.stop().await.unwrap();
    }

    /// A monitoring port that answers from the beginning, and lets clients in at its third answer.
    async fn recovering(monitor: TcpListener, listen: SocketAddr, asked: Arc<AtomicUsize>) {
        let body = r#"{"server_id":"N","server_name":"oak","version":"2.15.1"}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        loop {
            let (mut client, _) = monitor.accept().await.unwrap();
            let mut request = [0; 1024];
            let _length = client.read(&mut request).await.unwrap();
            client.write_all(answer.as_bytes()).await.unwrap();
            if asked.fetch_add(1, Ordering::SeqCst) + 1 == 3 {
                let door = TcpListener::bind(listen).await.unwrap();
                tokio::spawn(async move {
                    let (mut client, _) = door.accept().await.unwrap();
                    client.write_all(b"INFO {}\r\n").await.unwrap();
                });
            }
        }
    }
}
