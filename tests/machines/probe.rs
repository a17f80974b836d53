//! What runs inside a machine of these tests: one call of the door to systemd, and its answer as a line of JSON.
//!
//! Refuses: judging. The scenario outside does that.

use anyhow::{Context, Result, bail};
use leafwright::host::systemd::{JobFailure, JobResult, JobsFailed, Property, Systemd, Transient};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// `[--direct] VERB ARGUMENTS…`; an error is an answer too.
pub fn main(args: &[String]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("{}", runtime.block_on(answer(args)));
    ExitCode::SUCCESS
}

async fn answer(args: &[String]) -> Value {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (directly, words) = match words.split_first() {
        Some((&"--direct", rest)) => (true, rest),
        _ => (false, &*words),
    };
    let began = Instant::now();
    let systemd = if directly { Systemd::connect_directly().await } else { Systemd::connect().await };
    let systemd = match systemd {
        Ok(systemd) => systemd,
        Err(error) => return json!({ "error": format!("{error:#}") }),
    };
    let connected = began.elapsed().as_micros();
    let began = Instant::now();
    let mut answer = match asked(&systemd, words).await {
        Ok(value) => json!({ "value": value }),
        Err(error) => failure(&error),
    };
    answer["direct"] = json!(systemd.is_direct());
    answer["connected"] = json!(connected);
    answer["took"] = json!(began.elapsed().as_micros());
    answer
}

async fn asked(systemd: &Systemd, words: &[&str]) -> Result<Value> {
    let seconds = |text: &str| text.parse().map(Duration::from_secs_f64).context("seconds");
    Ok(match words {
        ["hello"] => json!({ "state": systemd.system_state().await?, "version": systemd.version().await? }),
        ["units", names @ ..] => json!(systemd.units(names).await?),
        ["failed"] => json!(systemd.failed().await?),
        ["daemon-reload"] => json!(systemd.daemon_reload().await?),
        ["reset-failed", unit] => json!(systemd.reset_failed(unit).await?),
        ["start", deadline, unit] => json!(word(&systemd.start(unit, seconds(deadline)?).await?)),
        ["stop", deadline, unit] => json!(word(&systemd.stop(unit, seconds(deadline)?).await?)),
        ["restart", deadline, unit] => json!(word(&systemd.restart(unit, seconds(deadline)?).await?)),
        ["reload", deadline, unit] => json!(word(&systemd.reload(unit, seconds(deadline)?).await?)),
        ["reload-or-restart", deadline, unit] => {
            json!(word(&systemd.reload_or_restart(unit, seconds(deadline)?).await?))
        }
        ["start-all", deadline, units @ ..] => json!(systemd.start_all(units, seconds(deadline)?).await?),
        ["transient", name, exec @ ..] => {
            let exec: Vec<String> = exec.iter().map(|&word| word.to_owned()).collect();
            let service = Transient::new(name, "a service of a test", &exec)
                .with("Environment", Property::Words(vec!["WHO=leafwright".into()]))
                .with("IgnoreOnIsolate", Property::Flag(true))
                .with("TimeoutStopUSec", Property::Time(Duration::from_secs(7)));
            json!(word(&systemd.start_transient(&service, Duration::from_secs(30)).await?))
        }
        // Starts a transient service, and then sits there until somebody kills it.
        ["transient-and-wait", name, exec @ ..] => {
            let exec: Vec<String> = exec.iter().map(|&word| word.to_owned()).collect();
            systemd.start_transient(&Transient::new(name, "outlives", &exec), Duration::from_secs(30)).await?;
            println!("started");
            std::future::pending().await
        }
        words => bail!("the probe does not know {words:?}"),
    })
}

fn word(result: &JobResult) -> String {
    format!("{result:?}")
}

fn failure(error: &anyhow::Error) -> Value {
    let one = |failure: &JobFailure| {
        json!({
            "unit": failure.unit,
            "result": word(&failure.result),
            "outcome": failure.outcome,
            "state": failure.state,
            "exit": failure.exit.map(|exit| exit.to_string()),
            "needed": failure.needed,
            "journal": failure.journal,
        })
    };
    let failures: Vec<Value> = match (error.downcast_ref::<JobFailure>(), error.downcast_ref::<JobsFailed>()) {
        (Some(failure), _) => vec![one(failure)],
        (_, Some(failures)) => failures.failed.iter().map(one).collect(),
        _ => vec![],
    };
    json!({ "error": format!("{error:#}"), "failures": failures })
}
