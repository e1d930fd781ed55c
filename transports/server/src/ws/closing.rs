//! How a WebSocket ends so that the peer learns why.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use livestore_wire::CLOSE_UNAUTHORIZED;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_websockets::{CloseCode, Message, WebSocketStream};

/// How long the peer may take to read the close frame and to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// What a control frame holds beside the code, in bytes.
const MAX_REASON_BYTES: usize = 123;

#[derive(Debug)]
pub(crate) enum Closing {
    /// Say why, and wait for the answer.
    Say(CloseCode, String),
    /// A close frame is queued already; get it out.
    Queued,
    /// The peer is gone or will not hear.
    Dead,
}

impl Closing {
    pub(crate) fn with(code: CloseCode, reason: &str) -> Self {
        let mut reason = reason.to_owned();
        while reason.len() > MAX_REASON_BYTES {
            reason.pop();
        }
        Self::Say(code, reason)
    }

    /// The peer's access has ended; it may come back with another one.
    pub(crate) fn expired() -> Self {
        let code = CloseCode::try_from(CLOSE_UNAUTHORIZED).expect("codes from 4000 on are free to use");
        Self::with(code, "the access has expired")
    }
}

/// Ends the WebSocket within [`CLOSE_TIMEOUT`].
pub(crate) async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    closing: Closing,
) {
    // A peer that does not close its side in time is dropped, which is all that is left to do.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, async {
        match closing {
            Closing::Dead => return,
            Closing::Queued => {}
            Closing::Say(code, reason) => {
                if socket.send(Message::close(Some(code), &reason)).await.is_err() {
                    return;
                }
            }
        }
        while let Some(Ok(_)) = socket.next().await {}
        linger(socket.into_inner()).await;
    })
    .await;
}

/// Reads on until the peer closes. Dropping a socket with unread bytes resets the connection, and the peer would lose
/// the close frame.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) {
    if io.shutdown().await.is_err() {
        return;
    }
    let mut unread = [0; 1024];
    while !matches!(io.read(&mut unread).await, Ok(0) | Err(_)) {}
}
