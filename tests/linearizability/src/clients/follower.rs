//! A live pull, opened again whenever it breaks, each page of it noted.

use std::sync::Arc;

use futures::StreamExt;
use livestore_traits::{BackendId, Cursor, Pull, PullError, PullMode, SyncBackend};
use tokio::sync::watch;

use super::client::read;
use crate::Recorder;
use crate::checker::Timed;
use crate::log::Operation;

/// Reads along.
///
/// A page may have been made at any time since its pull was opened, as what comes later waits on the way until it is
/// asked for. So that is what a page claims: to have been true at some time since then.
pub(super) struct Follower {
    pub(super) client: usize,
    pub(super) backend: Arc<dyn SyncBackend>,
    pub(super) recorder: Recorder,
    /// The head at which to end, once it is known.
    pub(super) done: watch::Receiver<Option<usize>>,
    /// Whether every page that says that it reaches the head is believed, or only the first.
    pub(super) tells_head: bool,
}

impl Follower {
    /// Follows the log up to the head that it is told in the end.
    pub(super) async fn follow(mut self) -> Result<(), String> {
        let (mut cursor, mut backend_id) = (Cursor::start(), None);
        while !self.follow_once(&mut cursor, &mut backend_id).await? {}
        Ok(())
    }

    /// One pull; tells whether the end was reached.
    async fn follow_once(
        &mut self,
        cursor: &mut Cursor,
        backend_id: &mut Option<BackendId>,
    ) -> Result<bool, String> {
        let called = self.recorder.now();
        let mut is_believed = true;
        let mut pages = self.backend.pull(Pull::new(backend_id.clone(), cursor.clone(), PullMode::Live));
        loop {
            let after = cursor.after.0 as usize;
            if self.done.borrow_and_update().is_some_and(|head| head <= after) {
                return Ok(true);
            }
            let page = tokio::select! {
                page = pages.next() => page,
                _ = self.done.changed() => continue,
            };
            let page = match page {
                Some(Ok(page)) => page,
                Some(Err(PullError::Offline(_) | PullError::Backend { .. })) => return Ok(false),
                None => return Err("a live pull ended by itself".into()),
                Some(Err(error)) => return Err(format!("a live pull ended with {error:?}")),
            };
            let mut operation = read(&self.recorder, after, &page);
            if let Operation::Page { reaches_head, .. } = &mut operation {
                let says_so = *reaches_head;
                *reaches_head &= is_believed;
                is_believed &= self.tells_head || !says_so;
            }
            let answered = Some(self.recorder.now());
            self.recorder.record(Timed { client: self.client, operation, called, answered });
            *cursor = page.cursor;
            *backend_id = Some(page.backend_id);
        }
    }
}
