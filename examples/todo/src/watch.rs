//! Following the list: what a program with a window does all the time.

use std::pin::pin;

use livestore_engine::Presence;
use livestore_engine::processor::LeaderStatus;
use livestore_traits::ConnectionStatus;

use crate::app::App;
use crate::failure::Failure;
use crate::leader;
use crate::output;
use crate::schema::TODOS;

/// Shows the list, then what changes and how the connection is, until it is interrupted.
pub(crate) async fn watch(app: &App) -> Result<(), Failure> {
    let mut interrupted = pin!(interrupted()?);
    // Subscribed before the first look: what changes in between is seen twice rather than missed.
    let mut changes = app.store.changes();
    let (mut statuses, mut presences) = (app.store.watch_status(), app.store.watch_presence());
    let mut shown = app.todos()?;
    let mut status = statuses.current();
    output::list(&shown)?;
    output::line(format_args!("-- {}; Ctrl-C ends it", following(app, &status)))?;
    if status.connection == ConnectionStatus::Connected || status.last_error.is_some() {
        output::line(format_args!("-- {}", output::connection(&status)))?;
    }
    let mut led = leadership(app, presences.current());
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
            changed = presences.changed() => {
                let now = changed.ok_or_else(|| app.ended())?;
                let now = leadership(app, now);
                if let Some(leadership) = now.filter(|now| led.as_ref() != Some(now)) {
                    output::line(format_args!("-- {leadership}"))?;
                    led = Some(leadership);
                }
            }
            () = &mut interrupted => return Ok(()),
        }
    }
}

/// What the list changes by.
fn following(app: &App, status: &LeaderStatus) -> String {
    match (leader::elsewhere(app), &app.server) {
        (None, Some(server)) => format!("following {server}"),
        (None, None) => "offline: only other programs on this data directory change the list".to_owned(),
        (Some(leader), Some(server)) if !leader::has_server(status) => {
            format!("following {leader}, which has no server; {server} is used when this program leads")
        }
        (Some(leader), _) => format!("following {leader}"),
    }
}

/// Who leads, if that is worth a line: leaders come and go within milliseconds, and a moment without one is not.
fn leadership(app: &App, presence: Presence) -> Option<String> {
    match presence {
        Presence::Here => Some("this program leads now".to_owned()),
        Presence::Elsewhere => Some(format!("{} leads", app.store.watch_status().current().label)),
        Presence::Silent { led_by } => {
            let leader = led_by.as_deref().unwrap_or("the program that leads");
            Some(format!("{leader} does not answer: it may be stopped"))
        }
        _ => None,
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
    if now.generation > before.generation {
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
