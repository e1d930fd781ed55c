//! The messages of the native WebSocket, each one binary WebSocket message in postcard.
//!
//! ```text
//! client                                          server
//!    |   GET …/sync, Sec-WebSocket-Protocol: livestore.v1   |
//!    |<---------------------------------------- Hello ------|
//!    |-- Pull { id: 1, window } ------------------------->  |
//!    |<----------------------- Page { id: 1, head } · body -|   as many bytes of bodies as the window holds
//!    |-- Credit { id: 1, bytes } ------------------------>  |   what the reader has taken
//!    |-- Push { id: 2, … } ------------------------------>  |
//!    |<------------------------- PushAck or PushRefused ----|
//!    |-- Cancel { id: 1 } ------------------------------->  |   no answer
//! ```
//!
//! Ids are the client's choice and unique among its running requests. A window bounds what a slow reader costs: a page
//! is sent while the window is open and closes it by the length of its body, so that at most one window and one page
//! are on the way to a reader that does not take them. Liveness is checked with the pings of WebSocket itself.

use livestore_traits::{BackendId, Cursor, Pull, PullMode};
use serde::{Deserialize, Serialize};

use crate::{AckForm, PageHead, PullErrorForm, PushErrorForm, PushForm, StoreForm};

/// Names this version of the messages in the WebSocket handshake.
pub const SUBPROTOCOL: &str = "livestore.v1";

/// The code with which a server closes a WebSocket, of either protocol, whose access has expired.
pub const CLOSE_UNAUTHORIZED: u16 = 4401;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientFrame {
    /// Starts a pull.
    Pull {
        /// Names it in all that follows.
        id: u64,
        /// The incarnation the cursor belongs to.
        backend_id: Option<BackendId>,
        /// Where to begin.
        cursor: Cursor,
        /// Whether to go on after catching up.
        live: bool,
        /// How many bytes of page bodies may be on the way.
        window: u32,
    },
    /// Pushes a batch.
    Push {
        /// Names it in the answer.
        id: u64,
        /// The batch.
        push: PushForm,
    },
    /// Ends a pull. Pages that are on the way still arrive.
    Cancel {
        /// Which.
        id: u64,
    },
    /// Opens the window of a pull again.
    Credit {
        /// Which.
        id: u64,
        /// By how much.
        bytes: u32,
    },
}

impl ClientFrame {
    /// Starts `pull` under the name `id`.
    #[must_use]
    pub fn pull(id: u64, pull: Pull, window: u32) -> Self {
        let Pull { backend_id, cursor, mode, .. } = pull;
        Self::Pull { id, backend_id, cursor, live: mode == PullMode::Live, window }
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerFrame {
    /// The first message on every connection.
    Hello(StoreForm),
    /// The next message is the body of a page.
    Page {
        /// Of which pull.
        id: u64,
        /// What follows it.
        head: PageHead,
    },
    /// A pull is over.
    PullEnd {
        /// Which.
        id: u64,
        /// Why, unless it has caught up as asked.
        error: Option<PullErrorForm>,
    },
    /// A push was accepted.
    PushAck {
        /// Which.
        id: u64,
        /// What the backend says.
        ack: AckForm,
    },
    /// A push was not accepted.
    PushRefused {
        /// Which.
        id: u64,
        /// Why.
        error: PushErrorForm,
    },
}
