//! Keeps children running: one that dies is started again, later each time it dies soon; all are stopped in reverse order.
//!
//! Refuses: knowing what the children are. Order of start is order of stop, backwards.

use crate::host::process::{self, Running, Spec};
use anyhow::Result;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// The pause after a long life; one twice as long for each end before that, up to `LONGEST`, so the first of a row is a second.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// A child that lived this long starts again with the shortest pause.
const SETTLED: Duration = Duration::from_secs(60);
/// How often the children are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a child may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// A child that was started again is said to run once it has lived this long: one that dies at once never did.
const STEADY: Duration = Duration::from_secs(1);

/// The children, in the order of their start.
#[derive(Debug, Default)]
pub struct Family {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    spec: Spec,
    running: Option<Running>,
    started: Instant,
    pause: Duration,
    told: Told,
}

/// What the person was last told about a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Runs,
    Ended,
}

/// Something that the person should hear of.
#[derive(Debug, PartialEq, Eq)]
pub struct News(pub String);

impl Family {
    pub fn start(&mut self, spec: Spec) -> Result<()> {
        let running = process::start(spec.clone())?;
        self.members.push(Member {
            spec,
            running: Some(running),
            started: Instant::now(),
            pause: SHORTEST,
            told: Told::Runs,
        });
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The process id of a child that runs.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.members.iter().find(|member| member.spec.name == name)?.running.as_ref().map(|running| running.pid)
    }

    /// How a child ended that has not been started again; never waits.
    pub fn ended(&mut self, name: &str) -> Result<Option<ExitStatus>> {
        let member = self.members.iter_mut().find(|member| member.spec.name == name);
        member.and_then(|member| member.running.as_mut()).map_or(Ok(None), Running::ended)
    }

    /// Looks once at every child; starts again those whose pause is over.
    pub fn look_after(&mut self) -> Result<Vec<News>> {
        let mut news = Vec::new();
        for member in &mut self.members {
            member.look_after(&mut news)?;
        }
        Ok(news)
    }

    /// Does the work, and looks after the children meanwhile; `hear` is told what becomes of them.
    pub async fn tended<T>(&mut self, work: impl Future<Output = T>, hear: impl Fn(&str)) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(LOOK) => self.look_after()?.iter().for_each(|news| hear(&news.0)),
            }
        }
    }

    /// Stops all, the last started first.
    pub async fn stop(self) -> Result<()> {
        let mut first_fault = Ok(());
        for member in self.members.into_iter().rev() {
            if let Some(running) = member.running {
                let stopped = running.stop(PATIENCE).await;
                if first_fault.is_ok() {
                    first_fault = stopped;
                }
            }
        }
        first_fault
    }
}

impl Member {
    fn look_after(&mut self, news: &mut Vec<News>) -> Result<()> {
        match &mut self.running {
            Some(running) => match running.ended()? {
                Some(status) => {
                    self.running = None;
                    self.wait(&format!("ended ({status})"), news);
                }
                None if self.told == Told::Ended && self.started.elapsed() >= STEADY => {
                    self.told = Told::Runs;
                    news.push(News(format!("{} runs again", self.spec.name)));
                }
                None => {}
            },
            None if self.started.elapsed() >= self.pause => match process::start(self.spec.clone()) {
                Ok(running) => {
                    self.running = Some(running);
                    self.started = Instant::now();
                }
                // The others run; this one may be back when its program is.
                Err(error) => self.wait(&format!("does not start ({error:#})"), news),
            },
            None => {}
        }
        Ok(())
    }

    /// A pause begins, longer than the last one if that was not long ago.
    fn wait(&mut self, why: &str, news: &mut Vec<News>) {
        self.pause = if self.started.elapsed() > SETTLED { SHORTEST } else { (self.pause * 2).min(LONGEST) };
        news.push(News(format!(
            "{} {why}, starting it again in {:.1} s; its log is {}",
            self.spec.name,
            self.pause.as_secs_f32(),
            self.spec.log.display()
        )));
        self.told = Told::Ended;
        self.started = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn spec(directory: &std::path::Path, script: &str) -> Spec {
        Spec {
            name: "child".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            environment: BTreeMap::from([("PLACE".to_owned(), directory.display().to_string())]),
            directory: directory.to_owned(),
            log: directory.join("log"),
        }
    }

    /// Looks after the family until `done` or ten seconds have passed.
    async fn until(family: &mut Family, mut done: impl FnMut(&[News]) -> bool) -> Vec<News> {
        let mut all = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            all.extend(family.look_after().unwrap());
            if done(&all) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it did not come to pass: {all:?}");
    }

    #[tokio::test]
    async fn a_child_that_dies_is_started_again_and_told_once_it_stays() {
        let directory = tempfile::tempdir().unwrap();
        let mut family = Family::default();
        // It dies twice, then stays.
        let script =
            "echo x >>$PLACE/starts; [ $(wc -l <$PLACE/starts) -gt 2 ] || exit 3; while :; do sleep 0.05; done";
        family.start(spec(directory.path(), script)).unwrap();
        let news = until(&mut family, |news| news.iter().any(|news| news.0.contains("runs again"))).await;
        let words: Vec<&str> = news.iter().map(|news| news.0.split(';').next().unwrap()).collect();
        assert_eq!(
            words,
            [
                "child ended (exit status: 3), starting it again in 1.0 s",
                "child ended (exit status: 3), starting it again in 2.0 s",
                "child runs again"
            ]
        );
        family.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_program_that_is_gone_for_a_while_ends_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        let place = || {
            std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
        };
        place();
        let mut family = Family::default();
        family.start(Spec { program: program.clone(), ..spec(directory.path(), "exit 3") }).unwrap();
        std::fs::remove_file(&program).unwrap();
        let news = until(&mut family, |news| news.len() >= 2).await;
        assert!(news[1].0.starts_with("child does not start (cannot start child"), "{news:?}");
        place();
        until(&mut family, |news| news.iter().any(|news| news.0.contains("ended (exit status: 3)"))).await;
        family.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_child_that_dies_during_the_work_is_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut family = Family::default();
        family.start(spec(directory.path(), "echo x >>$PLACE/starts; exit 3")).unwrap();
        let starts = || std::fs::read_to_string(directory.path().join("starts")).unwrap_or_default().lines().count();
        let work = async {
            while starts() < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            "done"
        };
        let heard = std::cell::RefCell::new(vec![]);
        let tended = family.tended(work, |news| heard.borrow_mut().push(news.to_owned()));
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), tended).await.unwrap().unwrap(), "done");
        assert!(heard.borrow()[0].contains("child ended (exit status: 3)"), "{heard:?}");
    }

    #[tokio::test]
    async fn stopping_ends_the_child_and_only_then_returns() {
        let directory = tempfile::tempdir().unwrap();
        let mut family = Family::default();
        let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        family.start(spec(directory.path(), script)).unwrap();
        let log = directory.path().join("log");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !process::last_words(&log, 1).contains("ready") {
            assert!(Instant::now() < deadline, "the child never became ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        family.stop().await.unwrap();
        assert_eq!(process::last_words(&log, 1), "bye");
    }
}
