//! The native messages: what is decoded can be encoded in both ways, and comes back as it was.

use std::fmt::Debug;

use livestore_traits::{Limits, PageInfo, PullError, PullPage, Push, PushAck, PushError};
use livestore_wire::{
    AckForm, ClientFrame, Encoding, ErrorAnswer, HistoryForm, HistoryWriter, PageForm, PageHead,
    PullErrorForm, PushErrorForm, PushForm, RequestErrorForm, ServerFrame, StoreForm, decode_page_body,
    encode_page_body,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) fn json(input: &[u8]) {
    any_form(Encoding::Json, input);
    if let Ok(answer) = Encoding::Json.decode::<ErrorAnswer<PushErrorForm>>(input) {
        push_error(answer.error);
    }
    if let Ok(answer) = Encoding::Json.decode::<ErrorAnswer<PullErrorForm>>(input) {
        pull_error(answer.error);
    }
    // These are JSON only.
    let _ = Encoding::Json.decode::<ErrorAnswer<RequestErrorForm>>(input);
    if let Ok(form) = Encoding::Json.decode::<HistoryForm>(input) {
        history(form);
    }
}

pub(super) fn postcard(input: &[u8]) {
    any_form(Encoding::Postcard, input);
    if let Ok(form) = Encoding::Postcard.decode(input) {
        push_error(form);
    }
    if let Ok(form) = Encoding::Postcard.decode(input) {
        pull_error(form);
    }
}

fn any_form(encoding: Encoding, input: &[u8]) {
    if let Some(form) = round_trips::<PushForm>(encoding, input) {
        push(form);
    }
    if let Some(form) = round_trips::<AckForm>(encoding, input) {
        assert_eq!(AckForm::from(PushAck::from(form.clone())), form);
    }
    if let Some(Ok(page)) = round_trips::<PageForm>(encoding, input).map(PullPage::try_from) {
        page_holds(&page);
    }
    round_trips::<StoreForm>(encoding, input);
    round_trips::<PushErrorForm>(encoding, input);
    round_trips::<PullErrorForm>(encoding, input);
}

/// Decodes, and checks that both encodings give it back.
fn round_trips<T>(encoding: Encoding, input: &[u8]) -> Option<T>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let form: T = encoding.decode(input).ok()?;
    for encoding in [Encoding::Json, Encoding::Postcard] {
        comes_back(encoding, &form);
    }
    Some(form)
}

fn comes_back<T>(encoding: Encoding, form: &T) -> usize
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let bytes = encoding.encode(form);
    let again: T = encoding.decode(&bytes).unwrap_or_else(|error| panic!("{form:?}: {error}"));
    assert_eq!(again, *form, "{encoding:?}");
    bytes.len()
}

fn push(form: PushForm) {
    let push = Push::from(form.clone());
    let is_chain = push.check_chain();
    if is_chain.is_ok() {
        let head = push.parent.0.checked_add(push.events.len() as u64).expect("a chain has numbers");
        assert_eq!(push.events.last().map_or(push.parent.0, |event| event.seq.0), head);
    }
    if push.check_limits(&Limits::DEFAULT).is_ok() {
        assert!(push.events.len() <= Limits::DEFAULT.max_batch_events);
    }
    assert_eq!(PushForm::from(push), form);
}

fn page_holds(page: &PullPage) {
    let mut last = page.after;
    for event in page.events.iter() {
        assert!(last < event.seq && event.seq <= page.through, "{page:?}");
        last = event.seq;
    }
    assert!(page.after <= page.through && page.cursor.after == page.through, "{page:?}");
    let again = decode_page_body(page.info.into(), &encode_page_body(page)).expect("it was a page");
    assert_eq!(again, *page);
}

/// The source of an error stays where it was; what to do about it, which is what the caller acts on, does not change.
fn push_error(form: PushErrorForm) {
    let error = PushError::from(form);
    let recovery = error.recovery();
    assert_eq!(PushError::from(PushErrorForm::from(error)).recovery(), recovery);
}

fn pull_error(form: PullErrorForm) {
    let error = PullError::from(form);
    let recovery = error.recovery();
    assert_eq!(PullError::from(PullErrorForm::from(error)).recovery(), recovery);
}

fn history(form: HistoryForm) {
    let (mut writer, start) = HistoryWriter::start(&form.backend_id, form.after, form.through);
    let (first, second) = form.events.split_at(form.events.len() / 2);
    let pieces = [start, writer.events(first), writer.events(second), writer.end()].concat();
    let written: HistoryForm = Encoding::Json.decode(&pieces).expect("pieces make one document");
    if form.events.iter().all(|event| event.seq <= form.through) {
        assert_eq!(written, form);
    }
}

pub(super) fn client_frame(input: &[u8]) {
    let Ok(frame) = Encoding::Postcard.decode::<ClientFrame>(input) else { return };
    assert!(comes_back(Encoding::Postcard, &frame) <= input.len(), "a frame is longer than it came");
    if let ClientFrame::Push { push: form, .. } = frame {
        push(form);
    }
}

pub(super) fn server_frame(input: &[u8]) {
    let Ok(frame) = Encoding::Postcard.decode::<ServerFrame>(input) else { return };
    assert!(comes_back(Encoding::Postcard, &frame) <= input.len(), "a frame is longer than it came");
    match frame {
        ServerFrame::Page { head, .. } => {
            let info = PageInfo::from(head);
            assert_eq!(PageInfo::from(PageHead::from(info)), info);
        }
        ServerFrame::PushRefused { error, .. } => push_error(error),
        ServerFrame::PullEnd { error: Some(error), .. } => pull_error(error),
        ServerFrame::Hello(_) | ServerFrame::PullEnd { .. } | ServerFrame::PushAck { .. } => {}
    }
}

pub(super) fn page_body(input: &[u8]) {
    if let Ok(page) = decode_page_body(PageInfo::CaughtUp.into(), input) {
        page_holds(&page);
        assert!(encode_page_body(&page).len() <= input.len(), "a page is longer than it came");
    }
}
