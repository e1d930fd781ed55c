//! One request in one HTTP body, its answers in an array, always with status 200.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use livestore_wire::livestore::{
    Call, ClientFrame, Defect, Exit, Failure, Malformed, PullCall, PushCall, Request, RequestId, RpcError,
    ServerFrame, Transport, decode_client_frames, encode_chunk,
};

use super::pull::{self, PullEnd};
use super::push::push;
use crate::access::Access;
use crate::http::full;
use crate::hub::Store;
use crate::service::SyncBody;

/// Whose request it is, and about what.
struct Peer {
    store: Store,
    access: Access,
}

/// Answers the body of a request.
pub(crate) async fn post(store: Store, access: Access, body: &[u8]) -> Response<SyncBody> {
    let peer = Arc::new(Peer { store, access });
    let frames = decode_client_frames(body, Transport::Http);
    let has_pull = frames
        .iter()
        .any(|frame| matches!(frame, Ok(ClientFrame::Request(Request { call: Call::Pull(_), .. }))));
    let answers = stream::iter(frames).flat_map(move |frame| answers(&peer, frame));
    let array = array(answers.boxed());
    let body = if has_pull {
        // However long the log is, it is not gathered here.
        StreamBody::new(array.map(|part| Ok(Frame::data(part)))).boxed_unsync()
    } else {
        let whole = array.fold(BytesMut::new(), |mut whole, part| {
            whole.put(part);
            ready(whole)
        });
        full(whole.await.freeze())
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The frames as one JSON array.
fn array(frames: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
    let elements = frames.enumerate().map(|(index, frame)| {
        if index == 0 {
            return frame;
        }
        let mut element = BytesMut::with_capacity(frame.len() + 1);
        element.put_u8(b',');
        element.put(frame);
        element.freeze()
    });
    let bracket = |text: &'static str| stream::iter([Bytes::from_static(text.as_bytes())]);
    bracket("[").chain(elements).chain(bracket("]")).boxed()
}

fn answers(peer: &Arc<Peer>, frame: Result<ClientFrame, Malformed>) -> BoxStream<'static, Bytes> {
    let request = match frame {
        Ok(ClientFrame::Request(request)) => request,
        Ok(ClientFrame::Ping) => return one(&ServerFrame::Pong),
        // They are about connections, and there is none.
        Ok(ClientFrame::Ack(_) | ClientFrame::Interrupt(_) | ClientFrame::Eof) => {
            return stream::empty().boxed();
        }
        Err(malformed) => {
            let defect = || ServerFrame::Defect(Defect::Text(malformed.to_string()));
            return one(&malformed.answer().unwrap_or_else(defect));
        }
    };
    match request.call {
        Call::Ping => one(&ServerFrame::Exit { request_id: request.id, exit: Exit::Pong }),
        Call::Push(call) => stream::once(append(peer.clone(), request.id, call)).boxed(),
        Call::Pull(call) => history(peer.clone(), request.id, call),
    }
}

fn one(frame: &ServerFrame) -> BoxStream<'static, Bytes> {
    stream::iter([frame.encode()]).boxed()
}

async fn append(peer: Arc<Peer>, id: RequestId, call: PushCall) -> Bytes {
    let Peer { store, access } = &*peer;
    let outcome = match call.into_push() {
        Some(batch) => push(store.backend().clone(), access, batch, store.capabilities().limits).await,
        None => Ok(()),
    };
    let exit = outcome.map_or_else(|error| Exit::Failed(Failure::Error(error)), |()| Exit::Accepted);
    ServerFrame::Exit { request_id: id, exit }.encode()
}

/// A chunk for each page, then how it ended.
fn history(peer: Arc<Peer>, id: RequestId, call: PullCall) -> BoxStream<'static, Bytes> {
    // Nothing follows what is there, so nothing is waited for.
    let pages =
        pull::pages(peer.store.backend().clone(), call, Duration::ZERO).map(Some).chain(stream::iter([None]));
    let frames = pages.scan(false, move |is_over, page| {
        let frame = (!*is_over).then(|| match page {
            Some(Ok(page)) => encode_chunk(&id, &peer.store.items().body(&page), page.info),
            Some(Err(end)) => {
                *is_over = true;
                let error = Failure::Error(failed(end));
                ServerFrame::Exit { request_id: id.clone(), exit: Exit::Failed(error) }.encode()
            }
            None => ServerFrame::Exit { request_id: id.clone(), exit: Exit::Ended }.encode(),
        });
        ready(frame)
    });
    frames.boxed()
}

fn failed(end: PullEnd) -> RpcError {
    match end {
        PullEnd::Mismatch(error) => error,
        PullEnd::Failed(error) => RpcError::unknown("UnavailableError", error.to_string()),
    }
}
