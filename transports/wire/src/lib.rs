//! The messages between clients and servers, and their encodings. No I/O and no runtime.
//!
//! LiveStore's own protocol, which its released clients speak, is in [`livestore`]. Everything else here is the native
//! one: one message model, two encodings of it:
//!
//! | encoding | used by | bytes, tokens and secrets | args |
//! | --- | --- | --- | --- |
//! | JSON, keys in camelCase | HTTP, so that curl can speak it | base64url without padding | JSON inside JSON |
//! | postcard | WebSocket; HTTP by content type | as they are | their text |
//!
//! The *forms* in here are the written shape of the types of `livestore-traits`: a field that is added there changes
//! nothing on the wire until a form says so. Postcard does not describe itself, so every change to a form makes a new
//! [`SUBPROTOCOL`]; the golden bytes in `tests/golden.rs` notice.
//!
//! Decoding is total: any input gives a value whose ids are valid and whose args are JSON, or a [`DecodeError`]. It
//! allocates in proportion to the input, which the caller bounds.

mod bytes_form;
mod codec;
mod error_form;
mod event_form;
mod frame;
mod history_form;
pub mod livestore;
mod page_form;
mod path;
mod payload;
mod push_form;
mod store_form;
mod url;

pub use codec::{DecodeError, Encoding};
pub use error_form::{
    ErrorAnswer, PullErrorForm, PushErrorForm, RejectCodeForm, RemoteError, RequestErrorForm,
};
pub use frame::{CLOSE_UNAUTHORIZED, ClientFrame, SUBPROTOCOL, ServerFrame};
pub use history_form::{HISTORY_PAGE_EVENTS, HistoryForm, HistoryWriter, history_page};
pub use page_form::{PageForm, PageHead, decode_page_body, encode_page_body};
pub use path::{Endpoint, PathError, PullQuery, QueryError};
pub use payload::{InvalidPayload, PAYLOAD_HEADER, PayloadSource, SyncPayload};
pub use push_form::{AckForm, PushForm};
pub use store_form::{CapabilitiesForm, StoreForm};
pub use url::{InvalidUrl, StoreUrl};
