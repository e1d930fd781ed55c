//! Following the list: what a program with a window does all the time.

use std::pin::pin;

use livestore_engine::processor::LeaderStatus;
use livestore_traits::ConnectionStatus;

use crate::app::App;
use crate::failure::Failure;
use crate::output;
use crate::schema::TODOS;

/// Shows the list, then what changes and how the connection is, until it is interrupted.
pub(crate) async fn watch(app: &App) -> Result<(), Failure> {
    let mut interrupted = pin!(interrupted()?);
    // Subscribed before the first look: what changes in between is seen twice rather than missed.
    let mut changes = app.store.changes();
    let mut statuses = app.store.watch_status();
    let mut shown = app.todos()?;
    let mut status = statuses.current();
    output::list(&shown)?;
    match &app.server {
        Some(server) => output::line(format_args!("-- following {server}; Ctrl-C ends it"))?,
        None => output::line("-- offline: without --server nothing changes here; Ctrl-C ends it")?,
    }
    if status.connection == ConnectionStatus::Connected || status.last_error.is_some() {
        output::line(format_args!("-- {}", output::connection(&status)))?;
    }
    loop {
        tokio::select! {
            changed = changes.next() => {
                if changed.map_err(|_| app.ended())?.contains(TODOS) {
                    let now = app.todos()?;
                    output::difference(&shown, &now)?;
                    shown = now;
                }
            }
            changed = statuses.changed() => {
                let now = changed.ok_or_else(|| app.ended())?;
                show_status_change(&status, &now)?;
                status = now;
            }
            () = &mut interrupted => return Ok(()),
        }
    }
}

fn show_status_change(before: &LeaderStatus, now: &LeaderStatus) -> Result<(), Failure> {
    let connection = output::connection(now);
    // A new connection is told once something came through it: until then the reason why the last one broke stands.
    let is_old_error = now.connection == ConnectionStatus::Connected
        && now.last_error.is_some()
        && now.last_error == before.last_error;
    if connection != output::connection(before) && !is_old_error {
        output::line(format_args!("-- {connection}"))?;
    }
    if now.rebases > before.rebases {
        output::line(format_args!("-- own changes rebased onto {}", now.upstream_head.global))?;
    }
    Ok(())
}

/// Resolves when the user or the system wants the program to end. Listens from now on, not only once it is awaited.
#[cfg(unix)]
fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves when the user wants the program to end. Listens from now on, not only once it is awaited.
#[cfg(windows)]
fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}
