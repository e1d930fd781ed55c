//! How a request ends, in both dialects.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Dialect;

/// How a request ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Exit {
    /// A push was accepted.
    Accepted,
    /// A pull that does not stay has sent everything.
    Ended,
    /// The answer to a ping over HTTP.
    Pong,
    /// It failed.
    Failed(Failure),
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// In a way that the protocol foresees.
    Error(RpcError),
    /// In another way.
    Die(Defect),
    /// It was interrupted.
    Interrupt,
}

/// The failures that the protocol foresees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "_tag")]
pub enum RpcError {
    /// The batch does not follow the head.
    #[serde(rename = "ServerAheadError", rename_all = "camelCase")]
    ServerAhead {
        /// The head.
        minimum_expected_num: u64,
        /// What the batch would follow.
        provided_num: u64,
    },
    /// The log is not the one the client knows.
    #[serde(rename = "BackendIdMismatchError")]
    BackendIdMismatch {
        /// The server's.
        expected: String,
        /// The client's.
        received: String,
    },
    /// Anything else.
    #[serde(rename = "UnknownError")]
    Unknown {
        /// What happened.
        cause: Defect,
        /// In words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// About what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Value>,
    },
}

impl RpcError {
    /// An error of a kind that the protocol does not know.
    #[must_use]
    pub fn unknown(name: &str, message: impl Into<String>) -> Self {
        let cause = Defect::Error { name: name.to_owned(), message: message.into() };
        Self::Unknown { cause, note: None, payload: None }
    }
}

/// A failure as JavaScript describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, from = "Value")]
pub enum Defect {
    /// In words.
    Text(String),
    /// An `Error`.
    Error {
        /// Its class.
        name: String,
        /// What it says.
        message: String,
    },
    /// Something else that was thrown.
    Other(Value),
}

impl From<Value> for Defect {
    /// As JavaScript reads it: of a repeated key the last one counts, whatever else there is does not.
    fn from(value: Value) -> Self {
        match (&value, value.get("name"), value.get("message")) {
            (Value::String(text), ..) => Self::Text(text.clone()),
            (_, Some(Value::String(name)), Some(Value::String(message))) => {
                Self::Error { name: name.clone(), message: message.clone() }
            }
            _ => Self::Other(value),
        }
    }
}

impl Exit {
    pub(crate) fn to_value(&self, dialect: Dialect) -> Value {
        match self {
            Self::Accepted => json!({"_tag": "Success", "value": {}}),
            Self::Pong => json!({"_tag": "Success", "value": {"_tag": "SyncMessage.Pong"}}),
            Self::Ended if dialect == Dialect::Main => json!({"_tag": "Success", "value": null}),
            Self::Ended => json!({"_tag": "Success"}),
            Self::Failed(failure) => {
                let cause = failure.to_value(dialect);
                let cause = if dialect == Dialect::Main { json!([cause]) } else { cause };
                json!({"_tag": "Failure", "cause": cause})
            }
        }
    }

    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        match value.get("_tag")?.as_str()? {
            "Success" => Some(match value.get("value") {
                None | Some(Value::Null) => Self::Ended,
                Some(value) if value.get("_tag").is_some_and(|tag| tag == "SyncMessage.Pong") => Self::Pong,
                Some(_) => Self::Accepted,
            }),
            "Failure" => Failure::from_value(value.get("cause")?).map(Self::Failed),
            _ => None,
        }
    }
}

impl Failure {
    fn to_value(&self, dialect: Dialect) -> Value {
        match self {
            Self::Error(error) => json!({"_tag": "Fail", "error": error}),
            Self::Die(defect) => json!({"_tag": "Die", "defect": defect}),
            Self::Interrupt if dialect == Dialect::Main => json!({"_tag": "Interrupt", "fiberId": 0}),
            Self::Interrupt => json!({"_tag": "Interrupt", "fiberId": {"_tag": "None"}}),
        }
    }

    /// The gravest of a cause's failures, be it a tree or an array; a cause without any was an interruption.
    fn from_value(cause: &Value) -> Option<Self> {
        let mut gravest = Self::Interrupt;
        let mut rest = vec![cause];
        while let Some(cause) = rest.pop() {
            if let Value::Array(causes) = cause {
                rest.extend(causes);
                continue;
            }
            match cause.get("_tag")?.as_str()? {
                "Fail" => return Deserialize::deserialize(cause.get("error")?).ok().map(Self::Error),
                "Die" => gravest = Self::Die(Deserialize::deserialize(cause.get("defect")?).ok()?),
                "Sequential" | "Parallel" => rest.extend([cause.get("left")?, cause.get("right")?]),
                "Empty" | "Interrupt" => {}
                _ => return None,
            }
        }
        Some(gravest)
    }
}
