//! The messages of LiveStore's own sync protocol, as `@livestore/sync-cf` speaks it: Effect RPC as JSON, one object per
//! WebSocket message or HTTP body, answers over HTTP in an array.
//!
//! Two dialects of it are in use: that of the 0.4.0 packages and that of LiveStore's main branch. They differ in how ids
//! and failures are written; the type of a request's id tells which one its sender speaks ([`RequestId::dialect`]).
//!
//! | | 0.4.0 | main |
//! | --- | --- | --- |
//! | request id | `"0"` | `0` |
//! | cause of a failure | a tree | an array |
//! | end of a stream | `{"_tag":"Success"}` | `{"_tag":"Success","value":null}` |
//! | unknown procedure | defect of the connection | failure of the request |
//! | array from a client | refused | a batch of messages |
//!
//! Events are this library's own: their args stay uninterpreted text, and what this wire cannot say (commits, units,
//! tokens) is filled in as it says: every event is a unit of its own. Decoding is total: any input gives messages or a
//! [`Malformed`] that knows its answer.

mod client_frame;
mod exit;
mod frame_array;
mod item;
mod query;
mod request_id;
mod server_frame;
mod timestamp;

pub use client_frame::{
    Call, ClientFrame, Malformed, PullCall, PushCall, Request, RequestContext, decode_client_frames,
};
pub use exit::{Defect, Exit, Failure, RpcError};
pub use frame_array::FrameArray;
pub use item::{MAX_ITEM_BYTES, MAX_ITEM_EVENTS, PullItem, cut, encode_item_body};
pub use query::{InvalidQuery, SyncQuery, SyncUrl, Transport};
pub use request_id::{Dialect, RequestId};
pub use server_frame::{ServerFrame, encode_chunk};
