//! Follows the heads of all clients, and tells of every change while the story waits for something.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use livestore_engine::processor::LeaderStatus;
use livestore_traits::{BoxError, ConnectionStatus, GlobalSeq};

use super::client::Client;
use crate::terminal::{count, say};

/// Far above what any step takes: reaching it means that sync hangs.
const HANG: Duration = Duration::from_secs(20);

/// The clients' statuses as they were told last.
pub(super) struct Heads {
    clients: Vec<(&'static str, LeaderStatus)>,
    changes: SelectAll<BoxStream<'static, (usize, LeaderStatus)>>,
}

impl Heads {
    pub(super) fn new(clients: &[Client]) -> Self {
        let told = clients.iter().map(|client| (client.name, client.store.store_status().leader));
        let changes = clients.iter().enumerate().map(|(index, client)| {
            let status = client.store.watch_status();
            futures::stream::unfold(status, move |mut status| async move {
                status.changed().await.map(|now| ((index, now), status))
            })
            .boxed()
        });
        Self { clients: told.collect(), changes: futures::stream::select_all(changes) }
    }

    /// Tells of changes until `reached` holds for all clients that are asked about.
    pub(super) async fn wait(
        &mut self,
        what: &str,
        reached: impl Fn(&'static str, &LeaderStatus) -> bool,
    ) -> Result<(), BoxError> {
        let follow = async {
            while !self.clients.iter().all(|(name, status)| reached(name, status)) {
                let Some((index, now)) = self.changes.next().await else { return false };
                let (name, before) = &mut self.clients[index];
                tell(name, before, &now);
                *before = now;
            }
            true
        };
        match tokio::time::timeout(HANG, follow).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("a client stopped while waiting until {what}").into()),
            Err(_) => Err(format!("waited {} seconds in vain until {what}", HANG.as_secs()).into()),
        }
    }

    /// Tells of changes until every client is at `head`.
    pub(super) async fn wait_for_all(&mut self, head: GlobalSeq) -> Result<(), BoxError> {
        self.wait(&format!("everybody is at {head}"), |_, status| is_at(status, head)).await
    }
}

fn tell(name: &str, before: &LeaderStatus, now: &LeaderStatus) {
    if now.generation > before.generation && before.pending_events > 0 {
        say(format_args!("  {name:<6} REBASE  {}", rebase(before, now)));
    }
    let visible = |status: &LeaderStatus| {
        (status.local_head, status.upstream_head, status.pending_events, is_online(status))
    };
    if visible(before) != visible(now) {
        say(format_args!(
            "  {name:<6} head {:<6} confirmed {:<6} {:<9} {}",
            now.local_head.to_string(),
            now.upstream_head.to_string(),
            format!("{} pending", now.pending_events),
            if is_online(now) { "online" } else { "offline" },
        ));
    }
}

/// Whether everything up to `head` is here and confirmed, and nothing else is.
pub(super) fn is_at(status: &LeaderStatus, head: GlobalSeq) -> bool {
    status.pending_events == 0 && status.local_head.global == head && status.upstream_head.global == head
}

pub(super) fn is_online(status: &LeaderStatus) -> bool {
    status.connection == ConnectionStatus::Connected
}

/// What happened to the events that were pending.
fn rebase(before: &LeaderStatus, now: &LeaderStatus) -> String {
    let pending = before.pending_events as u64;
    let was = stretch(before.local_head.global, pending, "");
    let is = stretch(now.local_head.global, pending, &now.generation.to_string());
    let base = GlobalSeq(now.local_head.global.0.saturating_sub(pending));
    format!(
        "{} {was} rolled back, others' events taken in up to {base}, put back on top as {is}",
        count(pending, "event")
    )
}

/// The last `events` events up to `last`, in words.
fn stretch(last: GlobalSeq, events: u64, generation: &str) -> String {
    let first = GlobalSeq(last.0.saturating_sub(events.saturating_sub(1)));
    if first == last {
        format!("{last}{generation}")
    } else {
        format!("{first}{generation}..{last}{generation}")
    }
}
