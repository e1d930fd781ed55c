//! The commands that are about the server, and what becomes of a change there.

use std::time::Duration;

use livestore_engine::processor::{LeaderStatus, SyncActivity};
use livestore_engine::{NotConfirmed, Receipt};
use livestore_traits::{ConnectionStatus, LinkError};
use tokio::time::timeout;

use crate::app::App;
use crate::failure::Failure;
use crate::leader;
use crate::output;

/// How long a program that leads without a server is waited for: most commands end sooner.
const PASSING: Duration = Duration::from_secs(1);

/// Waits until everything is confirmed and everything the server had is here.
pub(crate) async fn sync(app: &App, limit: Duration) -> Result<(), Failure> {
    find_server(app).await?;
    let outcome = tokio::select! {
        synced = timeout(limit, app.store.synced()) => synced,
        failure = app.lost() => return Err(failure),
    };
    match outcome {
        Ok(Ok(status)) => {
            let through = match (leader::elsewhere(app), &app.server) {
                (None, Some(server)) => format!("with {server}"),
                _ => format!("through {}", status.label),
            };
            output::line(format_args!("in sync {through} at {}", status.upstream_head.global))
        }
        Ok(Err(LinkError::Refused(_))) => Err(not_synced(app, "syncing stopped")),
        Ok(Err(_)) => Err(app.ended()),
        Err(_) => Err(not_synced(app, &format!("not in sync after {} s", limit.as_secs_f64()))),
    }
}

/// Makes sure that there is a server to sync with.
async fn find_server(app: &App) -> Result<(), Failure> {
    let mut statuses = app.store.watch_status();
    if app.server.is_some() {
        // This program syncs if one that leads without a server is about to end.
        let _ = timeout(PASSING, statuses.wait_for(leader::has_server)).await;
    }
    if leader::has_server(&statuses.current()) {
        return Ok(());
    }
    Err(Failure::new(match (leader::elsewhere(app), &app.server) {
        (Some(leader), Some(server)) => {
            format!(
                "{leader} leads without a server, so {server} is not used: end it, or start it with --server"
            )
        }
        _ => "there is nothing to sync with; name a server with --server or TODO_SERVER".to_owned(),
    }))
}

fn not_synced(app: &App, what: &str) -> Failure {
    let status = app.store.watch_status().current();
    let pending = match status.pending_events {
        0 => String::new(),
        pending => format!("; {} kept here for the next sync", count(pending, "change is", "changes are")),
    };
    Failure::new(format!("{what}: {} {}{pending}", server(app), output::connection(&status)))
}

/// The server in use.
fn server(app: &App) -> String {
    match (leader::elsewhere(app), &app.server) {
        (None, Some(server)) => server.clone(),
        (None, None) => "the server".to_owned(),
        (Some(leader), _) => format!("the server of {leader}"),
    }
}

pub(crate) async fn status(app: &App) -> Result<(), Failure> {
    let mut statuses = app.store.watch_status();
    // A leader in another process tells of new sessions a moment after it has them.
    let is_listed = statuses
        .wait_for(|status| status.sessions.iter().any(|session| session.session_id == *app.store.id()));
    let _ = timeout(app.wait, is_listed).await;
    if leader::has_server(&statuses.current()) {
        let is_answered = statuses.wait_for(|status| {
            // The connection is heard of on another way than the events that come over it.
            let is_synced = status.activity == SyncActivity::CaughtUp && status.pending_events == 0;
            is_unreachable(status)
                || status.activity == SyncActivity::Off
                || (is_synced && status.connection == ConnectionStatus::Connected)
        });
        // Whatever came of it is shown.
        let _ = timeout(app.wait, is_answered).await;
    }
    let status = statuses.current();
    output::line(format_args!("store    {} in {}", app.store.store_id(), app.data_dir.path().display()))?;
    output::line(format_args!("client   {}", status.client_id))?;
    output::line(format_args!("leader   {}", leader::who(app)))?;
    for (title, session) in
        std::iter::once("sessions").chain(std::iter::repeat("")).zip(leader::sessions(app))
    {
        output::line(format_args!("{title:8} {session}"))?;
    }
    output::line(format_args!(
        "heads    {} here, {} confirmed",
        status.local_head.global, status.upstream_head.global
    ))?;
    output::line(format_args!("pending  {}", count(status.pending_events, "event", "events")))?;
    output::line(format_args!("rebases  {}", status.generation.0))?;
    output::line(format_args!("server   {}", server_line(app, &status)))?;
    let backend = status.backend_id.as_ref().map_or("not known yet", |id| id.as_str());
    output::line(format_args!("backend  {backend}"))?;
    for event in app.store.quarantined()? {
        output::line(format_args!("failed   {} {}: {}", event.num, event.name, event.error))?;
    }
    Ok(())
}

fn server_line(app: &App, status: &LeaderStatus) -> String {
    if leader::has_server(status) {
        return format!("{}, {}", server(app), output::connection(status));
    }
    match (leader::elsewhere(app), &app.server) {
        (Some(leader), Some(server)) => format!("none: {leader} leads without one, and {server} is not used"),
        _ => "none given, working offline".to_owned(),
    }
}

/// With a server: gives it a moment to confirm the commit, and says whether it did.
pub(crate) async fn report(app: &App, receipt: &Receipt) -> Result<(), Failure> {
    if app.server.is_none() && !leader::has_server(&app.store.watch_status().current()) {
        return Ok(());
    }
    let outcome = tokio::select! {
        biased;
        confirmed = timeout(app.wait, receipt.confirmed()) => confirmed.ok(),
        // A server that cannot be reached now is not worth the rest of the moment.
        () = has_no_use(app) => None,
        failure = app.lost() => return Err(failure),
    };
    match outcome {
        Some(Ok(num)) => output::line(format_args!("confirmed as {}", num.global)),
        Some(Err(NotConfirmed::Rejected(why))) => {
            Err(Failure::new(format!("the server refuses it, so it was taken back: {why}")))
        }
        Some(Err(NotConfirmed::Closed)) => Err(app.ended()),
        Some(Err(error)) => Err(error.into()),
        None => output::line(format_args!("saved; will sync later: {}", why_later(app))),
    }
}

/// Resolves when waiting for the server has no use.
async fn has_no_use(app: &App) {
    let mut statuses = app.store.watch_status();
    while let Some(status) =
        statuses.wait_for(|status| !leader::has_server(status) || is_unreachable(status)).await
    {
        let is_passing = !leader::has_server(&status);
        if !is_passing || timeout(PASSING, statuses.wait_for(leader::has_server)).await.is_err() {
            return;
        }
    }
    // The store has ended, and says why itself.
    std::future::pending().await
}

fn why_later(app: &App) -> String {
    let status = app.store.watch_status().current();
    match (status.last_error.clone(), leader::elsewhere(app)) {
        (Some(error), _) => error,
        (None, Some(leader)) if !leader::has_server(&status) => format!("{leader} leads without a server"),
        (None, _) => "the server has not answered yet".to_owned(),
    }
}

/// Whether the server was tried and did not answer.
fn is_unreachable(status: &LeaderStatus) -> bool {
    status.connection != ConnectionStatus::Connected && status.last_error.is_some()
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
