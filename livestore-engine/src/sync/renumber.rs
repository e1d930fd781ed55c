//! Numbers events on top of others.

use livestore_traits::{Event, EventKind, RebaseGeneration, SeqNum};

/// The number of an event of `kind` that follows `head`.
pub(super) const fn next(head: SeqNum, kind: EventKind, generation: RebaseGeneration) -> SeqNum {
    match kind {
        EventKind::Synced => head.next_synced(generation),
        EventKind::ClientOnly => head.next_client_only(generation),
    }
}

/// Numbers `events` on top of `head` in `generation`. Each keeps its kind, name, args and ids. Returns the last number.
pub(super) fn renumber<'a>(
    head: SeqNum,
    generation: RebaseGeneration,
    events: impl IntoIterator<Item = &'a mut Event>,
) -> SeqNum {
    events.into_iter().fold(head, |head, event| {
        event.num = next(head, event.kind(), generation);
        event.num
    })
}
