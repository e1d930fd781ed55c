//! `POST /stores/{store}/push`

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use livestore_traits::{Push, PushError};
use livestore_wire::{AckForm, Encoding, PushForm};

use super::{Refusal, ok};
use crate::access::Access;
use crate::admission;
use crate::hub::Store;
use crate::service::SyncBody;

pub(crate) async fn push(
    store: &Store,
    access: &Access,
    headers: &HeaderMap,
    answer_in: Encoding,
    body: &[u8],
) -> Result<Response<SyncBody>, Refusal> {
    // Whatever else a client calls its JSON is JSON: `curl -d` says that it sends a form.
    let encoding = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map_or(Encoding::Json, Encoding::from_header);
    let form: PushForm =
        encoding.decode(body).map_err(|error| Refusal::push(PushError::Invalid(error.to_string())))?;
    let push = Push::from(form);
    admission::check(&push, &store.capabilities().limits).map_err(Refusal::push)?;
    access.admit_push(&push.events).await?;
    let ack = store.backend().push(push).await.map_err(Refusal::push)?;
    Ok(ok(answer_in, &AckForm::from(ack)))
}
