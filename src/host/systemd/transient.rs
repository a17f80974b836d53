//! Transient services: run by systemd without a file, and gone when they have ended.
//!
//! Refuses: belonging to anybody. Such a service outlives the process, the session and the link that started it.

use super::bus::{ANSWER, read};
use super::{JobResult, Systemd, Verb};
use anyhow::{Context, Result};
use std::time::Duration;
use zbus::zvariant::{OwnedObjectPath, Value};

/// A service that is to run now.
#[derive(Clone, Debug)]
pub struct Transient {
    /// With its `.service`.
    pub name: String,
    pub description: String,
    /// The absolute path of a program and its arguments.
    pub exec: Vec<String>,
    /// Properties as systemd's D-Bus API names them, which is mostly as unit files do.
    pub properties: Vec<(String, Property)>,
}

/// The value of a property, in the type that systemd has for it.
#[derive(Clone, Debug)]
pub enum Property {
    Text(String),
    Words(Vec<String>),
    Flag(bool),
    Number(u64),
    /// `…USec`
    Time(Duration),
}

impl Transient {
    pub fn new(name: &str, description: &str, exec: &[String]) -> Self {
        Self { name: name.into(), description: description.into(), exec: exec.to_vec(), properties: vec![] }
    }

    #[must_use]
    pub fn with(mut self, name: &str, property: Property) -> Self {
        self.properties.push((name.into(), property));
        self
    }
}

impl Property {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Words(words) => words.iter().map(String::as_str).collect::<Vec<_>>().into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Number(number) => (*number).into(),
            Self::Time(time) => u64::try_from(time.as_micros()).unwrap_or(u64::MAX).into(),
        }
    }
}

impl Systemd {
    /// Starts it, and waits until its program was executed; it then runs on. When it has ended, well or not, nothing of it is
    /// left but its journal. One that runs already is refused: stop it first.
    pub async fn start_transient(&self, service: &Transient, deadline: Duration) -> Result<JobResult> {
        let program = service.exec.first().with_context(|| format!("{} has nothing to run", service.name))?;
        let exec = vec![(program.as_str(), service.exec.iter().map(String::as_str).collect::<Vec<_>>(), false)];
        let mut properties: Vec<(&str, Value<'_>)> = vec![
            ("Description", service.description.as_str().into()),
            // The job is done when the program was executed: one that is missing is an error here.
            ("Type", "exec".into()),
            ("CollectMode", "inactive-or-failed".into()),
            ("ExecStart", exec.into()),
        ];
        properties.extend(service.properties.iter().map(|(name, property)| (name.as_str(), property.value())));
        let nothing_beside: Vec<(&str, Vec<(&str, Value<'_>)>)> = vec![];
        let body = (service.name.as_str(), "fail", properties, nothing_beside);
        let mut waiting = self.waiting(deadline).await?;
        let asked = async { read::<OwnedObjectPath>(&self.bus.manager("StartTransientUnit", &body, ANSWER).await?) };
        if let Some(refusal) = waiting.ask(asked).await.with_context(|| format!("cannot start {}", service.name))? {
            waiting.settle(JobResult::Refused(refusal));
        }
        let result = waiting.results().await?.into_iter().next().context("a job without a result")?;
        self.judged(Verb::Start, &service.name, result).await
    }
}
