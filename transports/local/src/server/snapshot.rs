//! A copy of the leader's state, in pieces.

use std::io::{self, Read};

use livestore_traits::{SessionId, Snapshot};

use super::{Connection, Server};
use crate::LocalError;
use crate::error::in_words;
use crate::frame::{header, write_all};
use crate::message::{Answer, Outcome};

/// The bytes of one piece, which fits every frame; each costs a hop to a thread that may block.
const PIECE_BYTES: usize = 1024 * 1024;

impl Server {
    pub(super) async fn snapshot(
        &self,
        mut connection: Connection,
        session_id: SessionId,
    ) -> Result<(), LocalError> {
        let turn = connection.while_busy(self.snapshots.acquire()).await?;
        let _turn = turn.expect("it is never closed");
        let Some(copy) = connection.ask(self.link.snapshot(&session_id)).await? else { return Ok(()) };
        let Snapshot { head, len, bytes } = copy.snapshot;
        connection.send(&Answer::Snapshot { head, held: copy.held, bytes: len }).await?;
        let outcome = match connection.send_state(bytes).await? {
            Ok(()) => Outcome::Ok(()),
            Err(error) => Outcome::Err(in_words(&error)),
        };
        connection.send_piece(&[]).await?;
        connection.send(&outcome).await
    }
}

impl Connection {
    /// The inner error is one of the state; the connection is fine then.
    async fn send_state(&mut self, mut state: Box<dyn Read + Send>) -> Result<io::Result<()>, LocalError> {
        let mut piece = Vec::new();
        loop {
            // Reading may block, on a file for example.
            let read = tokio::task::spawn_blocking(move || {
                piece.clear();
                let read = state.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece);
                (state, piece, read)
            });
            let read = read.await.map_err(|error| LocalError::protocol(&error))?;
            (state, piece) = (read.0, read.1);
            match read.2 {
                Ok(0) => return Ok(Ok(())),
                Ok(_) => self.send_piece(&piece).await?,
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    async fn send_piece(&mut self, piece: &[u8]) -> Result<(), LocalError> {
        let patience = self.config.stall_timeout;
        let bytes = u32::try_from(piece.len()).expect("a piece is small");
        write_all(&mut self.write, &header(bytes), patience).await?;
        write_all(&mut self.write, piece, patience).await
    }
}
