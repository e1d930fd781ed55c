//! Bytes as base64url where people read, as they are elsewhere. For `#[serde(with)]` on optional fields.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as text that fits a URL and a JSON string.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes that [`to_text`] wrote.
pub(crate) fn from_text(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The same, but as other tools may have written it: in the other alphabet, with or without padding.
pub(crate) fn from_text_or_standard(text: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.iter().any(|byte| matches!(byte, b'+' | b'/')) { STANDARD } else { URL_SAFE };
    GeneralPurpose::new(&alphabet, config).decode(text).ok()
}

/// The longest token that is taken from a server, in bytes: clients put it into the URL of their next pull.
const MAX_TOKEN_BYTES: usize = 4096;

/// A backend's token.
pub(crate) mod token {
    use bytes::Bytes;

    use super::{Deserialize, Deserializer, MAX_TOKEN_BYTES, Serialize, Serializer, from_text, to_text};

    pub(crate) fn serialize<S: Serializer>(token: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            token.as_deref().map(to_text).serialize(serializer)
        } else {
            token.serialize(serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        let token: Option<Bytes> = if deserializer.is_human_readable() {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| from_text(&text).map(Bytes::from).ok_or("a token is base64url"))
                .transpose()
                .map_err(serde::de::Error::custom)?
        } else {
            Option::deserialize(deserializer)?
        };
        if token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN_BYTES) {
            return Err(serde::de::Error::custom(format!("a token has at most {MAX_TOKEN_BYTES} bytes")));
        }
        Ok(token)
    }
}

/// A client's secret.
pub(crate) mod secret {
    use livestore_traits::ClientSecret;

    use super::{Deserialize, Deserializer, Serialize, Serializer, from_text, to_text};

    pub(crate) fn serialize<S: Serializer>(
        secret: &Option<ClientSecret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            secret.map(|secret| to_text(&secret.0)).serialize(serializer)
        } else {
            secret.serialize(serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ClientSecret>, D::Error> {
        if !deserializer.is_human_readable() {
            return Option::deserialize(deserializer);
        }
        Option::<String>::deserialize(deserializer)?
            .map(|text| {
                from_text(&text)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(ClientSecret)
                    .ok_or("a proof is 16 bytes as base64url")
            })
            .transpose()
            .map_err(serde::de::Error::custom)
    }
}
