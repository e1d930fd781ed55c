//! Which of the programs on a data directory leads, in words.
//!
//! Only the one that leads has the files open and syncs; the others reach it, and so does what they are told of the
//! server.

use std::sync::Arc;

use livestore_engine::Presence;
use livestore_engine::processor::{LeaderStatus, SyncActivity};
use livestore_traits::AttachedSession;

use crate::app::App;

/// Who leads.
pub(crate) fn who(app: &App) -> String {
    let silent = |led_by: Option<String>, why: &str| match led_by {
        Some(leader) => format!("{leader}, which {why}"),
        None => format!("another program, which {why}"),
    };
    match app.store.presence() {
        Presence::Here => "this program".to_owned(),
        Presence::Elsewhere => app.store.watch_status().current().label.to_string(),
        Presence::Silent { led_by } => silent(led_by, "does not answer: it may be stopped"),
        Presence::Absent { led_by: None } => "nobody at the moment".to_owned(),
        Presence::Absent { led_by } => silent(led_by, "does not answer yet"),
        Presence::Over => "nobody any more".to_owned(),
        _ => "somebody".to_owned(),
    }
}

/// The program that leads, if it is not this one.
pub(crate) fn elsewhere(app: &App) -> Option<Arc<str>> {
    (app.store.presence() != Presence::Here).then(|| app.store.watch_status().current().label)
}

/// Whether the program that leads has a server.
pub(crate) fn has_server(status: &LeaderStatus) -> bool {
    // Syncing that was stopped for good says why.
    status.activity != SyncActivity::Off || status.last_error.is_some()
}

/// All sessions, one a line, with the programs they are in.
pub(crate) fn sessions(app: &App) -> Vec<String> {
    let sessions = app.store.watch_status().current().sessions;
    let line = |session: &AttachedSession| {
        let here = if session.session_id == *app.store.id() { ", this program" } else { "" };
        format!("{} in {}{here}", session.session_id, session.label)
    };
    sessions.iter().map(line).collect()
}
