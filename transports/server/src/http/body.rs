//! Reading request bodies within their bounds.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use livestore_traits::BoxError;
use livestore_wire::RequestErrorForm;

use super::Refusal;
use crate::limits::ServerLimits;

/// How many times the allowed length is read and thrown away before the peer is cut off. A peer that is still writing
/// when its connection closes may never see the answer that says why.
const DISCARDED_BODIES: usize = 8;

/// The whole body.
pub(crate) async fn read_body<B>(body: B, limits: &ServerLimits) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match tokio::time::timeout(limits.body_timeout, collect(body, limits.max_frame_bytes, limits)).await {
        Ok(collected) => collected,
        Err(_) => {
            let message = format!("the body took longer than {:?}", limits.body_timeout);
            Err(Refusal::new(RequestErrorForm::Timeout, message))
        }
    }
}

/// Reads the body of a request whose answer is decided, within the same bounds.
pub(crate) async fn discard_body<B>(body: B, limits: &ServerLimits)
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    // However it ends: the answer is decided.
    let _ = tokio::time::timeout(limits.body_timeout, collect(body, 0, limits)).await;
}

/// The body, if it has no more than `max_bytes`; otherwise reads past them for a while.
async fn collect<B>(body: B, max_bytes: usize, limits: &ServerLimits) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut collected = BytesMut::new();
    let mut len = 0_usize;
    let cut_off = limits.max_frame_bytes.saturating_mul(DISCARDED_BODIES);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let error: BoxError = error.into();
            Refusal::new(RequestErrorForm::BadRequest, format!("the body broke off: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        len = len.saturating_add(data.len());
        if len <= max_bytes {
            collected.extend_from_slice(&data);
        } else if len > cut_off {
            break;
        }
    }
    if len > max_bytes {
        let message = format!("the body may have {max_bytes} bytes");
        return Err(Refusal::new(RequestErrorForm::BodyTooLarge, message));
    }
    Ok(collected.freeze())
}
