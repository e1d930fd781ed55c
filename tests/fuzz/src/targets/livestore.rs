//! The messages of LiveStore's protocol, in both dialects.

use livestore_traits::{GlobalSeq, PageInfo, PullPage, StoreId};
use livestore_wire::livestore::{
    Call, ClientFrame, FrameArray, MAX_ITEM_BYTES, MAX_ITEM_EVENTS, PullItem, Request, RequestContext,
    RequestId, ServerFrame, Transport, cut, decode_client_frames, encode_chunk, encode_item_body,
};
use serde_json::value::RawValue;

/// Where `frame_array` cuts its input into pieces; no JSON has it outside of texts.
pub(crate) const FRAME_MARK: u8 = 0;

pub(super) fn client_frames(input: &[u8]) {
    for transport in [Transport::Ws, Transport::Http] {
        let frames = decode_client_frames(input, transport);
        assert!(!frames.is_empty(), "a message without an answer");
        for frame in frames {
            match frame {
                Ok(frame) => client_frame(&frame, transport),
                Err(malformed) => {
                    if let Some(answer) = malformed.answer() {
                        let text = answer.encode();
                        assert!(text.len() < 4096, "an answer repeats {} bytes", text.len());
                        ServerFrame::decode(&text).expect("clients can read what a server answers");
                    }
                }
            }
        }
    }
}

fn client_frame(frame: &ClientFrame, transport: Transport) {
    let store = StoreId::new("todo").expect("a valid id");
    let text = frame.encode(RequestContext { transport, store: &store, payload: None });
    let again = decode_client_frames(&text, transport);
    assert!(matches!(&again[..], [Ok(again)] if again == frame), "{frame:?} became {again:?}");
    if let ClientFrame::Request(Request { call: Call::Push(call), .. }) = frame {
        let is_empty = call.events.is_empty();
        match call.clone().into_push() {
            Some(push) => assert_eq!((push.parent, push.proof), (push.events[0].parent, None)),
            None => assert!(is_empty),
        }
    }
}

pub(super) fn server_frame(input: &[u8]) {
    let Ok(frame) = ServerFrame::decode(input) else { return };
    let text = frame.encode();
    let again = ServerFrame::decode(&text).unwrap_or_else(|error| panic!("{frame:?}: {error}"));
    assert_eq!(again, frame);
    if let ServerFrame::Chunk { request_id, items } = frame {
        for item in items {
            pieces(&request_id, item);
        }
    }
}

/// Whatever page a backend has, its pieces are items that clients take.
fn pieces(id: &RequestId, item: PullItem) {
    let PullItem { events, info, backend_id } = item;
    let page = PullPage::new(GlobalSeq::ROOT, events.clone(), None, backend_id, info);
    let pieces = cut(page);
    let mut seen = 0;
    for piece in &pieces {
        let chunk = encode_chunk(id, &encode_item_body(piece), piece.info);
        let count = piece.events.len();
        assert!(count <= MAX_ITEM_EVENTS && (chunk.len() <= MAX_ITEM_BYTES || count == 1));
        let Ok(ServerFrame::Chunk { items, .. }) = ServerFrame::decode(&chunk) else {
            panic!("a chunk is none: {chunk:?}")
        };
        assert!(items.len() == 1 && items[0].events[..] == events[seen..seen + count]);
        seen += count;
        assert_eq!(items[0].info == PageInfo::CaughtUp, info == PageInfo::CaughtUp && seen == events.len());
    }
    assert_eq!(seen, events.len());
}

/// Pieces of an HTTP answer, cut at [`FRAME_MARK`].
pub(super) fn frame_array(input: &[u8]) {
    const MAX_FRAME_BYTES: usize = 1000;
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut array = FrameArray::new(MAX_FRAME_BYTES);
        let mut frames = Vec::new();
        for piece in pieces {
            array.feed(piece);
            while let Some(frame) = array.next_frame().ok()? {
                assert!(frame.len() <= MAX_FRAME_BYTES && frame.starts_with(b"{"));
                frames.push(frame);
            }
        }
        array.finish().ok()?;
        Some(frames)
    };
    let whole: Vec<u8> = input.iter().copied().filter(|byte| *byte != FRAME_MARK).collect();
    let frames = read(&mut input.split(|byte| *byte == FRAME_MARK));
    assert_eq!(frames, read(&mut [&whole[..]].into_iter()), "how an answer arrives changes what it says");
    assert_eq!(frames, read(&mut whole.chunks(1)), "how an answer arrives changes what it says");
    // What is an array of objects is read as such.
    if let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(&whole) {
        let texts: Vec<_> = elements.iter().map(|element| element.get().as_bytes()).collect();
        let is_taken = |text: &&[u8]| text.starts_with(b"{") && text.len() <= MAX_FRAME_BYTES;
        assert_eq!(frames.is_some(), texts.iter().all(is_taken));
        assert!(frames.is_none_or(|frames| frames == texts));
    }
}
