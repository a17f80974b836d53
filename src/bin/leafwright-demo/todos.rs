//! Keeps the list of to-dos: what the events `todos.added` say, in a journal of its own so that a restart forgets nothing.
//!
//! Refuses: putting one command on the list twice, however often it is delivered; and acknowledging anything before it is on disk.

use crate::bus::{self, Bus, Verdict};
use anyhow::{Context, Result};
use async_nats::Message;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use tokio::sync::Mutex;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Todo {
    /// The id of the command that asked for it.
    id: String,
    title: String,
}

#[derive(Deserialize)]
struct Add {
    title: String,
}

/// The journal has one to-do a line; `todos` is what it says.
struct List {
    todos: Vec<Todo>,
    journal: File,
}

pub async fn run(bus: &Bus) -> Result<()> {
    // systemd makes this directory and names it (`StateDirectory=`); without systemd it is where the service was started.
    let directory = bus::variable("STATE_DIRECTORY").unwrap_or_else(|_| ".".into());
    let list = Mutex::new(open(Path::new(&directory))?);
    let (commands, events) = (bus::feed("COMMANDS")?, bus::feed("EVENTS")?);
    tokio::try_join!(
        answer(bus, &list),
        bus::pull(bus, &commands, |message| add(bus, &list, message)),
        bus::pull(bus, &events, |message| learn(&list, message)),
    )?;
    Ok(())
}

/// Reads the journal. A last line that a power cut left unfinished is cut off: its message was never acknowledged.
fn open(directory: &Path) -> Result<List> {
    let path = directory.join("todos.jsonl");
    let mut journal = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let mut text = String::new();
    journal.read_to_string(&mut text)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let todos = text[..whole].lines().map(serde_json::from_str).collect::<Result<_, _>>();
    let todos = todos.with_context(|| format!("{} is damaged", path.display()))?;
    journal.set_len(whole as u64)?;
    journal.seek(SeekFrom::End(0))?;
    Ok(List { todos, journal })
}

/// On disk first, then in memory; a to-do that is there already changes nothing.
fn keep(list: &mut List, todo: Todo) -> Result<()> {
    if list.todos.iter().all(|known| known.id != todo.id) {
        writeln!(list.journal, "{}", serde_json::to_string(&todo)?)?;
        list.journal.sync_data()?;
        list.todos.push(todo);
    }
    Ok(())
}

/// Answers `todos.list`; instances share the work as one queue group.
async fn answer(bus: &Bus, list: &Mutex<List>) -> Result<()> {
    let queue = bus::variable("LEAFWRIGHT_SERVICE")?;
    let mut questions = bus.client.queue_subscribe(bus::subject("todos.list")?, queue).await?;
    while let Some(question) = questions.next().await {
        let Some(reply) = question.reply else { continue };
        let answer = serde_json::json!({ "todos": list.lock().await.todos });
        bus::answer(bus, reply, &answer).await?;
    }
    Ok(())
}

/// A command ends in exactly one of its outcomes. The outcome is stored before the command is acknowledged, so a crash
/// in between repeats the command, which then finds its own to-do and ends in the same outcome with the same id.
async fn add(bus: &Bus, list: &Mutex<List>, message: Message) -> Verdict {
    let Some(id) = bus::id_of(&message) else {
        eprintln!("todos: a command without an id can have no outcome");
        return Verdict::Never;
    };
    let command: Option<Add> = serde_json::from_slice(&message.payload).ok();
    let title = command.map(|add| add.title.trim().to_owned()).unwrap_or_default();
    let mut list = list.lock().await;
    let ended = match why_not(&list.todos, &id, &title) {
        Some(reason) => {
            let refused = serde_json::json!({ "id": id, "title": title, "reason": reason });
            bus::store(bus, "todos.add-refused", &format!("{id}-add-refused"), &refused).await
        }
        None => {
            let todo = Todo { id: id.clone(), title };
            let stored = bus::store(bus, "todos.added", &format!("{id}-added"), &todo).await;
            stored.and_then(|()| keep(&mut list, todo))
        }
    };
    verdict(ended)
}

fn why_not(todos: &[Todo], id: &str, title: &str) -> Option<&'static str> {
    match title {
        "" => Some("it has no title"),
        _ if title.chars().count() > 200 => Some("its title has more than 200 characters"),
        _ if todos.iter().any(|todo| todo.title == title && todo.id != id) => Some("it is on the list already"),
        _ => None,
    }
}

/// The events are the truth, those of the event set and of other instances included.
async fn learn(list: &Mutex<List>, message: Message) -> Verdict {
    match serde_json::from_slice::<Todo>(&message.payload) {
        Ok(todo) => verdict(keep(&mut *list.lock().await, todo)),
        Err(error) => {
            eprintln!("todos: an event that cannot be read: {error}");
            Verdict::Never
        }
    }
}

fn verdict(ended: Result<()>) -> Verdict {
    match ended {
        Ok(()) => Verdict::Done,
        Err(error) => {
            eprintln!("todos: trying again: {error:#}");
            Verdict::Later
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn todo(id: &str, title: &str) -> Todo {
        Todo { id: id.into(), title: title.into() }
    }

    #[test]
    fn a_restart_remembers_and_an_unfinished_line_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let mut list = open(directory.path()).unwrap();
        keep(&mut list, todo("1", "mend the fence")).unwrap();
        keep(&mut list, todo("1", "mend the fence")).unwrap();
        list.journal.write_all(b"{\"id\":\"2\",\"ti").unwrap();
        let mut list = open(directory.path()).unwrap();
        assert_eq!(list.todos, [todo("1", "mend the fence")]);
        keep(&mut list, todo("3", "paint the gate")).unwrap();
        assert_eq!(open(directory.path()).unwrap().todos.len(), 2);
    }

    #[test]
    fn a_repeated_command_is_not_its_own_duplicate() {
        let todos = [todo("1", "mend the fence")];
        assert_eq!(why_not(&todos, "1", "mend the fence"), None);
        assert_eq!(why_not(&todos, "2", "mend the fence"), Some("it is on the list already"));
        assert_eq!(why_not(&todos, "2", ""), Some("it has no title"));
        assert_eq!(why_not(&todos, "2", "paint the gate"), None);
    }
}
