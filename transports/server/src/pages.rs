//! Encoded pages, shared by all readers of a store.
//!
//! When a batch is accepted, every subscriber of the store gets the same page. The first one encodes it, the others
//! find it here. Only the last few pages are kept, and only for a while: readers that are further apart share nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use livestore_traits::{BackendId, Cursor, GlobalSeq, PullPage};

/// How many pages a store keeps: live subscribers are a page or two apart.
const MAX_PAGES: usize = 8;
/// How many bytes of pages a store keeps, apart from the latest page.
const MAX_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct PageCache {
    encode: fn(&PullPage) -> Bytes,
    pages: Mutex<VecDeque<Encoded>>,
}

#[derive(Debug)]
struct Encoded {
    backend_id: BackendId,
    after: GlobalSeq,
    cursor: Cursor,
    body: Bytes,
}

impl Encoded {
    /// History is immutable: the same stretch of the same incarnation has the same events.
    fn is(&self, page: &PullPage) -> bool {
        self.after == page.after && self.cursor == page.cursor && self.backend_id == page.backend_id
    }
}

impl PageCache {
    /// Keeps pages as `encode` writes them.
    pub(crate) fn new(encode: fn(&PullPage) -> Bytes) -> Self {
        Self { encode, pages: Mutex::default() }
    }

    /// The body of `page`, encoded now or by an earlier reader.
    pub(crate) fn body(&self, page: &PullPage) -> Bytes {
        // Encoding under the lock: readers that wake together would otherwise all encode.
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = pages.iter().find(|encoded| encoded.is(page)) {
            return found.body.clone();
        }
        let body = (self.encode)(page);
        let mut bytes: usize = pages.iter().map(|encoded| encoded.body.len()).sum();
        while pages.len() >= MAX_PAGES || (bytes + body.len() > MAX_BYTES && !pages.is_empty()) {
            bytes -= pages.pop_back().map_or(0, |oldest| oldest.body.len());
        }
        pages.push_front(Encoded {
            backend_id: page.backend_id.clone(),
            after: page.after,
            cursor: page.cursor.clone(),
            body: body.clone(),
        });
        body
    }

    /// Gives the memory back.
    pub(crate) fn clear(&self) {
        *self.pages.lock().unwrap_or_else(PoisonError::into_inner) = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use livestore_traits::PageInfo;
    use livestore_wire::encode_page_body;

    use super::*;

    fn page(after: u64, token: &'static [u8], info: PageInfo) -> PullPage {
        let backend_id = BackendId::new("b").unwrap();
        PullPage::new(GlobalSeq(after), Arc::from([]), Some(Bytes::from_static(token)), backend_id, info)
    }

    #[test]
    fn readers_share_a_page_whatever_follows_it_for_them() {
        let pages = PageCache::new(encode_page_body);
        let first = pages.body(&page(3, b"t", PageInfo::CaughtUp));
        let second = pages.body(&page(3, b"t", PageInfo::More { remaining: None }));
        assert_eq!(first.as_ptr(), second.as_ptr());
    }

    #[test]
    fn another_history_is_another_page() {
        let pages = PageCache::new(encode_page_body);
        let first = pages.body(&page(3, b"t", PageInfo::CaughtUp));
        let second = pages.body(&page(3, b"u", PageInfo::CaughtUp));
        assert_ne!(first, second);
    }

    #[test]
    fn only_the_last_few_are_kept() {
        let pages = PageCache::new(encode_page_body);
        let first = pages.body(&page(0, b"t", PageInfo::CaughtUp));
        for after in 1..=MAX_PAGES {
            pages.body(&page(after as u64, b"t", PageInfo::CaughtUp));
        }
        assert_eq!(pages.pages.lock().unwrap().len(), MAX_PAGES);
        assert_ne!(first.as_ptr(), pages.body(&page(0, b"t", PageInfo::CaughtUp)).as_ptr());
    }
}
