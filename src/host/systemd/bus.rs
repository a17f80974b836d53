//! Messages to systemd and back: the only file that knows how they travel.
//!
//! Refuses: knowing what a call means, and signals from anybody but systemd.

use super::private;
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use zbus::connection::Builder;
use zbus::zvariant::{DynamicType, OwnedValue, Type};
use zbus::{Connection, MatchRule, Message, MessageStream};

/// For answers that systemd gives at once, and it may be busy.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// A bus whose socket listens and whose daemon does not answer is no bus.
const HANDSHAKE: Duration = Duration::from_secs(3);

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// Signals that may wait while we wait for an answer; a boot ends some hundred jobs.
const QUEUE: usize = 4096;

/// The properties of an object, as they come.
pub(super) type Properties = BTreeMap<String, OwnedValue>;

/// systemd answered, and the answer is no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `org.freedesktop.systemd1.NoSuchUnit`
    pub name: String,
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.trim_end_matches('.');
        if text.is_empty() { write!(f, "systemd answers {}", self.name) } else { write!(f, "systemd says: {text}") }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    pub fn is_no_such_unit(&self) -> bool {
        self.name.ends_with(".NoSuchUnit")
    }

    pub fn is_masked(&self) -> bool {
        self.name.ends_with(".UnitMasked")
    }
}

#[derive(Debug)]
pub(super) struct Bus {
    connection: Connection,
    /// systemd's unique name on the bus, as the bus says it; nobody else can send as that. `None` on its own socket.
    owner: Option<String>,
}

impl Bus {
    pub(super) async fn system() -> Result<Self> {
        Self::over(Builder::system()?).await
    }

    pub(super) async fn direct() -> Result<Self> {
        let opened = tokio::time::timeout(HANDSHAKE, private::open()).await;
        let (socket, id) = opened.map_err(|_| anyhow!("no answer within {HANDSHAKE:?}"))??;
        Self::over(Builder::authenticated_socket(socket, id.as_str())?.p2p()).await
    }

    async fn over(builder: Builder<'_>) -> Result<Self> {
        let connection = in_time(HANDSHAKE, builder.build()).await?;
        let mut bus = Self { connection, owner: None };
        // Without this systemd sends no signals over the bus.
        let answer = bus.manager("Subscribe", &(), HANDSHAKE).await.context("systemd does not answer")?;
        if !bus.is_direct() {
            bus.owner = answer.header().sender().map(ToString::to_string);
        }
        Ok(bus)
    }

    pub(super) fn is_direct(&self) -> bool {
        !self.connection.is_bus()
    }

    /// Calls a method of the manager.
    pub(super) async fn manager<B>(&self, method: &str, body: &B, deadline: Duration) -> Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        self.call((PATH, MANAGER, method), body, deadline).await
    }

    async fn call<B>(
        &self,
        (path, interface, method): (&str, &str, &str),
        body: &B,
        deadline: Duration,
    ) -> Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        let destination = self.connection.is_bus().then_some(NAME);
        let call = self.connection.call_method(destination, path, Some(interface), method, body);
        in_time(deadline, call).await
    }

    /// One property of the manager.
    pub(super) async fn property<T>(&self, interface: &str, name: &str) -> Result<T>
    where
        T: TryFrom<OwnedValue>,
        T::Error: std::error::Error + Send + Sync + 'static,
    {
        let answer = self.call((PATH, PROPERTIES, "Get"), &(interface, name), ANSWER).await?;
        let value: OwnedValue = read(&answer)?;
        Ok(T::try_from(value)?)
    }

    /// All properties of an object, of all its interfaces: one round trip, and one moment.
    pub(super) async fn properties(&self, path: &str) -> Result<Properties> {
        let answer = self.call((path, PROPERTIES, "GetAll"), &("",), ANSWER).await?;
        read(&answer)
    }

    /// The ends of jobs, from now on.
    pub(super) async fn removed_jobs(&self) -> Result<Removed<'_>> {
        let rule =
            MatchRule::builder().msg_type(zbus::message::Type::Signal).interface(MANAGER)?.member("JobRemoved")?;
        let rule = match &self.owner {
            Some(owner) => rule.sender(owner.as_str())?,
            None => rule,
        };
        let stream = MessageStream::for_match_rule(rule.build(), &self.connection, Some(QUEUE));
        let stream = tokio::time::timeout(ANSWER, stream).await.context("the bus does not answer")??;
        Ok(Removed { stream, owner: self.owner.as_deref() })
    }
}

/// The stream of `JobRemoved`.
pub(super) struct Removed<'a> {
    stream: MessageStream,
    owner: Option<&'a str>,
}

impl Removed<'_> {
    /// The next job that ended: its path and its result. An error when the connection is gone.
    pub(super) async fn next(&mut self) -> Result<(String, String)> {
        use futures_util::StreamExt;
        loop {
            let message = self.stream.next().await.context("the connection to systemd was lost")?;
            let message = message.context("the connection to systemd was lost")?;
            // A bus lets anybody send signals to anybody.
            if self.owner.is_some() && message.header().sender().map(|sender| sender.as_str()) != self.owner {
                continue;
            }
            let (_, job, _, result): (u32, zbus::zvariant::OwnedObjectPath, String, String) = read(&message)?;
            return Ok((job.to_string(), result));
        }
    }
}

/// The body of a message.
pub(super) fn read<T>(message: &Message) -> Result<T>
where
    T: serde::de::DeserializeOwned + Type,
{
    message.body().deserialize().context("systemd's answer has another form than was asked for")
}

async fn in_time<T>(deadline: Duration, call: impl Future<Output = zbus::Result<T>>) -> Result<T> {
    match tokio::time::timeout(deadline, call).await {
        Err(_) => Err(anyhow!("no answer within {deadline:?}")),
        Ok(Err(zbus::Error::MethodError(name, text, _))) => {
            Err(Refusal { name: name.to_string(), text: text.unwrap_or_default() }.into())
        }
        // Not as a cause: what zbus says of an error contains its causes.
        Ok(Err(error)) => Err(anyhow!("{error}")),
        Ok(Ok(answer)) => Ok(answer),
    }
}
