//! Numbers of events, and ids.

use livestore_traits::{BackendId, ClientId, EventName, Position, SeqNum, SessionId, StoreId};

pub(super) fn numbers(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(number) = text.parse::<SeqNum>() {
        assert_eq!(number.to_string().parse(), Ok(number));
        let is_plain = |byte: u8| byte.is_ascii_digit() || b"e.r".contains(&byte);
        assert!(text.bytes().all(is_plain), "{text:?} is taken for {number}");
        let (place, before) = (number.position(), number.position().before());
        assert!(before < place || place == Position::ROOT);
    }
    if let Ok(store) = StoreId::new(text) {
        assert!(!text.starts_with('.') && text.len() <= 128);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)), "{text:?}");
        assert_eq!(serde_json::from_value::<StoreId>(text.into()).expect("it was valid"), store);
    }
    let ids = [
        BackendId::new(text).is_ok(),
        ClientId::new(text).is_ok(),
        SessionId::new(text).is_ok(),
        EventName::new(text).is_ok() && text.len() <= 128,
    ];
    let is_id = (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
    assert_eq!(ids, [is_id; 4], "{text:?}");
}
