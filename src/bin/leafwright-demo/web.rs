//! The page of the to-dos: `GET /` shows the list, `POST /todos` adds to it, `GET /todos` is the list as JSON.
//!
//! Refuses: keeping the list itself, and knowing who does: it asks, it commands, and it waits for what came of it.

use crate::bus::{self, Bus, Verdict};
use crate::http::{self, Request, Response};
use anyhow::{Context, Result};
use async_nats::Message;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// How long a browser waits for the outcome of its command before it is told that it is under way.
const OUTCOME: Duration = Duration::from_secs(10);

/// Nothing if it was added, the reason if it was refused.
type Outcome = Option<String>;

#[derive(Default)]
struct Heard {
    /// Commands whose senders still wait, by id.
    waiting: BTreeMap<String, oneshot::Sender<Outcome>>,
    /// The last measurement from anywhere in the domain.
    celsius: Option<f64>,
}

#[derive(Deserialize)]
struct Event {
    id: Option<String>,
    reason: Option<String>,
    celsius: Option<f64>,
}

#[derive(Deserialize)]
struct Todos {
    todos: Vec<Todo>,
}

#[derive(Deserialize)]
struct Todo {
    title: String,
}

pub async fn run(bus: &Bus) -> Result<()> {
    let address = bus::variable("WEB_LISTEN")?;
    let listener = TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    eprintln!("web: listening on http://{address}/");
    let heard = Arc::new(Mutex::new(Heard::default()));
    let events = bus::feed("EVENTS")?;
    let listen = bus::pull(bus, &events, |message| {
        hear(&heard, &message);
        std::future::ready(Verdict::Done)
    });
    tokio::select! {
        ended = listen => ended,
        ended = serve(listener, bus, &heard) => ended,
    }
}

async fn serve(listener: TcpListener, bus: &Bus, heard: &Arc<Mutex<Heard>>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (bus, heard) = (bus.clone(), heard.clone());
        tokio::spawn(async move {
            // A browser that goes away in the middle is no concern of ours.
            let _ = tokio::time::timeout(OUTCOME * 2, talk(stream, &bus, &heard)).await;
        });
    }
}

async fn talk(stream: TcpStream, bus: &Bus, heard: &Mutex<Heard>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let response = match http::read(&mut stream).await {
        Ok(request) => respond(&request, bus, heard).await.unwrap_or_else(|error| {
            eprintln!("web: {error:#}");
            text("503 Service Unavailable", "the to-dos cannot be reached at the moment\n")
        }),
        Err(_) => text("400 Bad Request", "this is not a request\n"),
    };
    stream.write_all(http::print(&response).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

async fn respond(request: &Request, bus: &Bus, heard: &Mutex<Heard>) -> Result<Response> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => {
            let list: Todos = serde_json::from_slice(&list(bus).await?)?;
            let celsius = lock(heard).celsius;
            Ok(Response { status: "200 OK", kind: "text/html", location: None, body: page(&list.todos, celsius) })
        }
        ("GET", "/todos") => {
            let body = String::from_utf8(list(bus).await?.to_vec())?;
            Ok(Response { status: "200 OK", kind: "application/json", location: None, body })
        }
        ("POST", "/todos") => match http::field(&request.body, "title") {
            Some(title) => add(&title, bus, heard).await,
            None => Ok(text("400 Bad Request", "the form has no field `title`\n")),
        },
        _ => Ok(text("404 Not Found", "there is nothing here\n")),
    }
}

async fn list(bus: &Bus) -> Result<Bytes> {
    bus::ask(bus, "todos.list", &serde_json::json!({})).await
}

/// The command, stored on this machine before anything else, and what comes of it.
async fn add(title: &str, bus: &Bus, heard: &Mutex<Heard>) -> Result<Response> {
    let id = bus::new_id()?;
    let (tell, told) = oneshot::channel();
    lock(heard).waiting.insert(id.clone(), tell);
    let stored = bus::store(bus, "todos.add", &id, &serde_json::json!({ "title": title })).await;
    let outcome = match stored {
        Ok(()) => tokio::time::timeout(OUTCOME, told).await,
        Err(error) => {
            lock(heard).waiting.remove(&id);
            return Err(error);
        }
    };
    lock(heard).waiting.remove(&id);
    Ok(match outcome {
        Ok(Ok(None)) => Response { location: Some("/"), ..text("303 See Other", "added\n") },
        Ok(Ok(Some(reason))) => text("422 Unprocessable Content", &format!("not added: {reason}\n")),
        _ => text("202 Accepted", "stored; it will be on the list as soon as the back office has read it\n"),
    })
}

/// What the domain says: outcomes for those who wait, measurements for the page. Old ones find nobody waiting.
fn hear(heard: &Mutex<Heard>, message: &Message) {
    let Ok(event) = serde_json::from_slice::<Event>(&message.payload) else { return };
    let mut heard = lock(heard);
    heard.celsius = event.celsius.or(heard.celsius);
    if let Some(tell) = event.id.and_then(|id| heard.waiting.remove(&id)) {
        // The browser may have given up meanwhile.
        let _ = tell.send(event.reason);
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn text(status: &'static str, body: &str) -> Response {
    Response { status, kind: "text/plain", location: None, body: body.to_owned() }
}

fn page(todos: &[Todo], celsius: Option<f64>) -> String {
    let items: String = todos.iter().map(|todo| format!("<li>{}</li>\n", http::escape(&todo.title))).collect();
    let weather = celsius.map(|c| format!("<p>{c:.1} °C</p>\n")).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>To do</title>\n<h1>To do</h1>\n{weather}<ol>\n{items}</ol>\n\
         <form method=\"post\" action=\"/todos\"><input name=\"title\" maxlength=\"200\" required> <button>Add</button></form>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_become_markup() {
        let html = page(&[Todo { title: "<script>".into() }], Some(20.04));
        assert!(html.contains("<li>&lt;script&gt;</li>") && html.contains("20.0 °C"), "{html}");
    }
}
