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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_from_peers_are_taken_as_far_as_javascript_counts() {
        const MAX_GLOBAL: u64 = 9_007_199_254_740_991;
        let num = |global, client, generation| SeqNum {
            global: GlobalSeq(global),
            client,
            generation: RebaseGeneration(generation),
        };
        let (global, client, generation) = (MAX_GLOBAL, u32::MAX / 2, MAX_GLOBAL);
        check_range(num(global, client, generation)).unwrap();
        check_range(SeqNum::ROOT).unwrap();
        for beyond in [
            num(global + 1, client, generation),
            num(global, client + 1, generation),
            num(global, client, generation + 1),
            num(u64::MAX, 0, 0),
            num(0, u32::MAX, 0),
            num(0, 0, u64::MAX),
        ] {
            assert!(matches!(check_range(beyond), Err(MergeError::OutOfRange { num }) if num == beyond));
        }
    }
}
