//! What a page brings to a reader who has everything up to some event.
//!
//! ```text
//! reader has ..e5    page (e3, e8]  ->  (e5, e8]      page (e1, e4]  ->  nothing      page (e6, e8]  ->  gap
//! ```

use livestore_traits::{GlobalSeq, PullPage};

/// A page seen from a reader's position.
#[derive(Debug, PartialEq)]
pub(crate) enum Trimmed {
    /// The page, beginning right after the reader's position; empty only if it was.
    Fresh(PullPage),
    /// All of it is known.
    Known,
    /// Events between the reader's position and the page are missing.
    Gap,
}

/// Cuts off what a reader at `after` has already.
pub(crate) fn trim(mut page: PullPage, after: GlobalSeq) -> Trimmed {
    if page.after > after {
        return Trimmed::Gap;
    }
    if page.after == after {
        return Trimmed::Fresh(page);
    }
    if page.through <= after {
        return Trimmed::Known;
    }
    let known = page.events.partition_point(|event| event.seq <= after);
    page.events = page.events[known..].into();
    page.after = after;
    Trimmed::Fresh(page)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use livestore_traits::{Args, BackendId, ClientId, EventName, PageInfo, SessionId, SyncedEvent};

    use super::*;

    fn page(after: u64, through: u64) -> PullPage {
        let events: Arc<[SyncedEvent]> = (after + 1..=through)
            .map(|seq| SyncedEvent {
                seq: GlobalSeq(seq),
                parent: GlobalSeq(seq - 1),
                name: EventName::new("event").unwrap(),
                args: Args::null(),
                client_id: ClientId::new("client").unwrap(),
                session_id: SessionId::new("session").unwrap(),
                commit: None,
                unit_end: true,
                created_at: None,
            })
            .collect();
        let token = Some(format!("at e{through}").into());
        PullPage::new(GlobalSeq(after), events, token, BackendId::new("b").unwrap(), PageInfo::CaughtUp)
    }

    #[test]
    fn repeats_are_cut_off_and_gaps_are_found() {
        let trim = |after, through, reader| trim(page(after, through), GlobalSeq(reader));
        let mut rest = page(5, 8);
        assert_eq!(trim(5, 8, 5), Trimmed::Fresh(rest.clone()));
        rest.cursor = page(3, 8).cursor;
        assert_eq!(trim(3, 8, 5), Trimmed::Fresh(rest), "the cursor stays that of the page's end");
        assert_eq!(trim(1, 4, 5), Trimmed::Known);
        assert_eq!(trim(3, 5, 5), Trimmed::Known);
        assert_eq!(trim(5, 5, 5), Trimmed::Fresh(page(5, 5)), "an empty page is no repeat");
        assert_eq!(trim(4, 4, 5), Trimmed::Known);
        assert_eq!(trim(6, 8, 5), Trimmed::Gap);
        assert_eq!(trim(6, 6, 5), Trimmed::Gap);
    }
}
