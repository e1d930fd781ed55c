//! What each command does.

use std::io::BufRead as _;
use std::time::Duration;

use livestore_engine::processor::{LeaderStatus, SyncActivity};
use livestore_engine::{NotConfirmed, Receipt};
use livestore_traits::{ConnectionStatus, LinkError, TypedEvent};
use tokio::time::timeout;

use crate::app::App;
use crate::events::{TodoAdded, TodoDone, TodoRemoved, TodoTextEdited, new_id};
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

/// Waits until everything is confirmed and everything the server had is here.
pub(crate) async fn sync(app: &App, limit: Duration) -> Result<(), Failure> {
    let Some(server) = &app.server else {
        return Err(Failure::new(
            "there is nothing to sync with; name a server with --server or TODO_SERVER",
        ));
    };
    let outcome = tokio::select! {
        synced = timeout(limit, app.store.synced()) => synced,
        failure = app.stopped() => return Err(failure),
    };
    match outcome {
        Ok(Ok(status)) => {
            output::line(format_args!("in sync with {server} at {}", status.upstream_head.global))
        }
        Ok(Err(LinkError::Refused(_))) => Err(not_synced(app, server, "syncing stopped")),
        Ok(Err(_)) => Err(app.ended()),
        Err(_) => Err(not_synced(app, server, &format!("not in sync after {} s", limit.as_secs_f64()))),
    }
}

fn not_synced(app: &App, server: &str, what: &str) -> Failure {
    let status = app.store.watch_status().current();
    let pending = match status.pending_events {
        0 => String::new(),
        pending => format!("; {} kept here for the next sync", count(pending, "change is", "changes are")),
    };
    Failure::new(format!("{what}: {server} {}{pending}", output::connection(&status)))
}

pub(crate) async fn status(app: &App) -> Result<(), Failure> {
    if app.server.is_some() {
        let mut statuses = app.store.watch_status();
        let is_answered = statuses.wait_for(|status| {
            is_unreachable(status)
                || status.activity == SyncActivity::Off
                || (status.activity == SyncActivity::CaughtUp && status.pending_events == 0)
        });
        // Whatever came of it is shown.
        let _ = timeout(app.wait, is_answered).await;
    }
    let status = app.store.watch_status().current();
    let server = match &app.server {
        Some(server) => format!("{server}, {}", output::connection(&status)),
        None => "none given, working offline".to_owned(),
    };
    output::line(format_args!("store    {} in {}", app.store.store_id(), app.data_dir.path().display()))?;
    output::line(format_args!("client   {}", status.client_id))?;
    output::line(format_args!(
        "heads    {} here, {} confirmed",
        status.local_head.global, status.upstream_head.global
    ))?;
    output::line(format_args!("pending  {}", count(status.pending_events, "event", "events")))?;
    output::line(format_args!("rebases  {}", status.generation.0))?;
    output::line(format_args!("server   {server}"))?;
    let backend = status.backend_id.as_ref().map_or("not known yet", |id| id.as_str());
    output::line(format_args!("backend  {backend}"))?;
    for event in app.store.quarantined()? {
        output::line(format_args!("failed   {} {}: {}", event.num, event.name, event.error))?;
    }
    Ok(())
}

/// Commits an event; returns once it is on the disk.
async fn commit<E: TypedEvent>(app: &App, event: &E) -> Result<Receipt, Failure> {
    let receipt = app.store.commit_event(event).map_err(|error| app.failed(&error))?;
    // A full disk, for example, ends the store, and nothing becomes durable then.
    let persisted = tokio::select! {
        persisted = receipt.persisted() => persisted,
        failure = app.stopped() => return Err(failure),
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

/// With a server: gives it a moment to confirm the commit, and says whether it did.
async fn report(app: &App, receipt: &Receipt) -> Result<(), Failure> {
    if app.server.is_none() {
        return Ok(());
    }
    let mut statuses = app.store.watch_status();
    let outcome = tokio::select! {
        biased;
        confirmed = timeout(app.wait, receipt.confirmed()) => confirmed.ok(),
        // A server that cannot be reached now is not worth the rest of the moment.
        Some(_) = statuses.wait_for(is_unreachable) => None,
        failure = app.stopped() => return Err(failure),
    };
    match outcome {
        Some(Ok(num)) => output::line(format_args!("confirmed as {}", num.global)),
        Some(Err(NotConfirmed::Rejected(why))) => {
            Err(Failure::new(format!("the server refuses it, so it was taken back: {why}")))
        }
        Some(Err(NotConfirmed::Closed)) => Err(app.ended()),
        Some(Err(error)) => Err(error.into()),
        None => {
            let status = app.store.watch_status().current();
            let why = match &status.last_error {
                Some(error) => error.clone(),
                None => "the server has not answered yet".to_owned(),
            };
            output::line(format_args!("saved; will sync later: {why}"))
        }
    }
}

/// Whether the server was tried and did not answer.
fn is_unreachable(status: &LeaderStatus) -> bool {
    status.connection != ConnectionStatus::Connected && status.last_error.is_some()
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

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
