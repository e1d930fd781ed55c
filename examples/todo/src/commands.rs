//! What the commands do that read or change the list.

use std::io::BufRead as _;

use livestore_engine::{NotConfirmed, Receipt};
use livestore_traits::TypedEvent;

use crate::app::App;
use crate::events::{TodoAdded, TodoDone, TodoRemoved, TodoTextEdited, new_id};
use crate::exchange::report;
use crate::failure::Failure;
use crate::output::{self, Ids};
use crate::schema::{self, Todo};

pub(crate) async fn add(app: &App, text: &str) -> Result<(), Failure> {
    let receipt = add_item(app, text).await?;
    report(app, &receipt).await
}

/// Adds an item for each line of standard input.
pub(crate) async fn add_lines(app: &App) -> Result<(), Failure> {
    let mut last = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            last = Some(add_item(app, &line).await?);
        }
    }
    match last {
        // Events are confirmed in order, so the last one speaks for all.
        Some(receipt) => report(app, &receipt).await,
        None => Err(Failure::new("there is no text on standard input")),
    }
}

async fn add_item(app: &App, text: &str) -> Result<Receipt, Failure> {
    let event = TodoAdded { id: new_id(), text: checked(text)?.to_owned() };
    let receipt = commit(app, &event).await?;
    say(app, "added", &event.id)?;
    Ok(receipt)
}

pub(crate) fn list(app: &App) -> Result<(), Failure> {
    output::list(&app.todos()?)
}

pub(crate) async fn done(app: &App, id: &str) -> Result<(), Failure> {
    let todo = find(app, id)?;
    let receipt = commit(app, &TodoDone { id: todo.id.clone() }).await?;
    say(app, "done", &todo.id)?;
    report(app, &receipt).await
}

pub(crate) async fn edit(app: &App, id: &str, text: &str) -> Result<(), Failure> {
    let todo = find(app, id)?;
    let event = TodoTextEdited { id: todo.id, text: checked(text)?.to_owned() };
    let receipt = commit(app, &event).await?;
    say(app, "edited", &event.id)?;
    report(app, &receipt).await
}

pub(crate) async fn remove(app: &App, id: &str) -> Result<(), Failure> {
    let todo = find(app, id)?;
    let ids = Ids::new(&app.query(|view| schema::near(view, &todo.id))?);
    let receipt = commit(app, &TodoRemoved { id: todo.id.clone() }).await?;
    output::line(format_args!("removed  {}", output::item(&todo, &ids)))?;
    report(app, &receipt).await
}

/// Commits an event; returns once it is on the disk.
async fn commit<E: TypedEvent>(app: &App, event: &E) -> Result<Receipt, Failure> {
    let receipt = app.store.commit_event(event).map_err(|error| app.failed(&error))?;
    let persisted = tokio::select! {
        persisted = receipt.persisted() => persisted,
        failure = app.lost() => return Err(failure),
    };
    match persisted {
        Ok(()) => Ok(receipt),
        Err(NotConfirmed::Closed) => Err(app.ended()),
        Err(error) => Err(error.into()),
    }
}

/// Says what happened to an item that is there.
fn say(app: &App, what: &str, id: &str) -> Result<(), Failure> {
    let near = app.query(|view| schema::near(view, id))?;
    match near.iter().find(|todo| todo.id == id) {
        Some(todo) => output::line(format_args!("{what}  {}", output::item(todo, &Ids::new(&near)))),
        // Another client removed it meanwhile.
        None => output::line(format_args!("{what}  {id}, which was removed meanwhile")),
    }
}

/// The one item whose id begins with `prefix`.
fn find(app: &App, prefix: &str) -> Result<Todo, Failure> {
    if prefix.is_empty() {
        return Err(Failure::new("the id is empty"));
    }
    let mut found = app.query(|view| schema::with_prefix(view, prefix))?;
    if found.len() > 1 {
        let ids = Ids::new(&found);
        let items: Vec<&str> = found.iter().take(3).map(|todo| ids.shown(&todo.id)).collect();
        let others = if found.len() > items.len() { " or others" } else { "" };
        let items = items.join(" or ");
        return Err(Failure::new(format!("{prefix:?} is ambiguous, it could be {items}{others}")));
    }
    let unknown = || {
        Failure::new(format!("no item begins with {prefix:?} here; `list` shows all, `sync` gets new ones"))
    };
    found.pop().ok_or_else(unknown)
}

fn checked(text: &str) -> Result<&str, Failure> {
    match text.trim() {
        "" => Err(Failure::new("an item needs a text")),
        text => Ok(text),
    }
}
