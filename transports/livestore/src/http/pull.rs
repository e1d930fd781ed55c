//! One pull: a request whose answer is read as fast as its reader takes it.

use std::sync::Arc;

use futures::{Stream, stream};
use livestore_traits::{Pull, PullError, PullMode, PullPage};
use livestore_wire::livestore::{Call, Exit, ServerFrame};

use super::backend::Shared;
use super::exchange::Answer;
use crate::LiveStoreError;
use crate::error::pull_failed;
use crate::reader::Reader;

/// A pull between two pages.
enum State {
    NotBegun(Arc<Shared>, Pull),
    Reading(Box<(Answer, Reader)>),
    Over,
}

/// The pages of a pull.
pub(super) fn pages(shared: Arc<Shared>, pull: Pull) -> impl Stream<Item = Result<PullPage, PullError>> {
    stream::unfold(State::NotBegun(shared, pull), |state| async {
        match next(state).await {
            Ok(next) => next.map(|(page, state)| (Ok(page), state)),
            Err(error) => Some((Err(error), State::Over)),
        }
    })
}

async fn next(state: State) -> Result<Option<(PullPage, State)>, PullError> {
    let mut reading = match state {
        State::NotBegun(shared, mut pull) => {
            pull.mode = PullMode::Once;
            let mut reader = Reader::new(pull, shared.config.max_frame_bytes)?;
            let answer = shared.send(Call::Pull(reader.call())).await.map_err(LiveStoreError::pull)?;
            Box::new((answer, reader))
        }
        State::Reading(reading) => reading,
        State::Over => return Ok(None),
    };
    loop {
        let (answer, reader) = &mut *reading;
        if let Some(page) = reader.next_page() {
            return Ok(Some((page, State::Reading(reading))));
        }
        match answer.next().await.map_err(LiveStoreError::pull)? {
            Some((ServerFrame::Chunk { items, .. }, bytes)) => {
                for item in items {
                    reader.take(item, bytes)?;
                }
            }
            Some((ServerFrame::Exit { exit: Exit::Failed(failure), .. }, _)) => {
                return Err(pull_failed(failure));
            }
            Some((ServerFrame::Defect(defect), _)) => return Err(LiveStoreError::defect(&defect).pull()),
            Some((ServerFrame::Exit { .. }, _)) => {
                reader.finish()?;
                // Read to its end, so that the connection can be used again.
                let _ = answer.next().await;
                return Ok(None);
            }
            Some((ServerFrame::Pong, _)) => {}
            None => return Err(LiveStoreError::Protocol("the answer ends early".to_owned()).pull()),
        }
    }
}
