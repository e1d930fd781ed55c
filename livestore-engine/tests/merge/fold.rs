//! The definition of merging what the backend sends: a fold over single events, word by word and as slow as that is.

use livestore_traits::{Event, EventKind, GlobalSeq, SeqNum};

use crate::log::Log;

/// What `page` does to `log`. Own events up to `pushed_through` were pushed under the numbers they have.
pub(crate) fn fold(log: &Log, page: &[Event], pushed_through: &mut GlobalSeq) -> Log {
    let mut log = log.clone();
    let mut has_rolled_back = false;
    for event in page {
        let settled = log.settled_len();
        let first = (settled..log.events.len()).find(|index| log.events[*index].num.is_synced());
        match first.map(|index| (index, relation(&log.events[index], event, *pushed_through))) {
            Some((index, Some(is_equal))) => {
                if !is_equal {
                    raise_once(&mut log, &mut has_rolled_back);
                    log.events[index].args = event.args.clone();
                    let pending = log.events.split_off(settled);
                    append(&mut log, pending);
                }
                log.upstream = log.events[index].num;
            }
            None | Some((_, None)) => {
                let pending = log.events.split_off(settled);
                if !pending.is_empty() {
                    raise_once(&mut log, &mut has_rolled_back);
                }
                let num = SeqNum { generation: log.generation, ..event.num };
                log.events.push(Event { num, ..event.clone() });
                log.upstream = num;
                append(&mut log, pending);
                *pushed_through = GlobalSeq::ROOT;
            }
        }
    }
    log
}

/// Whether `theirs` is `ours`, and if so, whether with equal args.
fn relation(ours: &Event, theirs: &Event, pushed_through: GlobalSeq) -> Option<bool> {
    let ids = |event: &Event| (event.num.global, event.name.clone(), event.session_id.clone());
    if ids(ours) != ids(theirs) || ours.client_id != theirs.client_id {
        return None;
    }
    let is_equal = ours.args.js_eq(&theirs.args);
    match (ours.commit, theirs.commit) {
        (Some(a), Some(b)) if a != b => None,
        _ if is_equal || theirs.num.global <= pushed_through => Some(is_equal),
        _ => None,
    }
}

fn raise_once(log: &mut Log, has_rolled_back: &mut bool) {
    if !*has_rolled_back {
        log.generation = log.generation.next();
        *has_rolled_back = true;
    }
}

/// Numbers events on top of the log.
pub(crate) fn append(log: &mut Log, events: Vec<Event>) {
    for mut event in events {
        event.num = match event.kind() {
            EventKind::Synced => log.head().next_synced(log.generation),
            EventKind::ClientOnly => log.head().next_client_only(log.generation),
        };
        log.events.push(event);
    }
}
