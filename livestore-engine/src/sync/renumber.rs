//! Numbers events on top of others, and keeps the numbers of peers where that is possible.

use livestore_traits::{Event, EventKind, GlobalSeq, RebaseGeneration, SeqNum};

use super::outcome::MergeError;

/// The highest numbers taken from a peer. JavaScript counts no further than the first; beyond each of them is room for
/// more events than fit into memory, so that counting on never overflows.
const MAX: SeqNum = SeqNum {
    global: GlobalSeq((1 << 53) - 1),
    client: u32::MAX / 2,
    generation: RebaseGeneration((1 << 53) - 1),
};

/// Checks that counting can go on from `num`.
pub(super) fn check_range(num: SeqNum) -> Result<(), MergeError> {
    if num.global > MAX.global || num.client > MAX.client || num.generation > MAX.generation {
        return Err(MergeError::OutOfRange { num });
    }
    Ok(())
}

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
