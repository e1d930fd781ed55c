//! Names and ids repeat from event to event: a reader that recalls the last few shares them instead of allocating each.

use livestore_traits::{ClientId, EventName, InvalidId, SessionId};

/// How many of a kind are recalled; searching them must stay cheaper than an allocation.
const RECALLED: usize = 8;

/// Turns stored names and ids into values, sharing those that came up lately.
#[derive(Debug, Default)]
pub struct Recall {
    names: Recent<EventName>,
    clients: Recent<ClientId>,
    sessions: Recent<SessionId>,
}

impl Recall {
    /// The event name `text`.
    ///
    /// # Errors
    /// If it is none.
    pub fn name(&mut self, text: &str) -> Result<EventName, InvalidId> {
        self.names.find(text, |text| EventName::new(text))
    }

    /// The client id `text`.
    ///
    /// # Errors
    /// If it is none.
    pub fn client_id(&mut self, text: &str) -> Result<ClientId, InvalidId> {
        self.clients.find(text, |text| ClientId::new(text))
    }

    /// The session id `text`.
    ///
    /// # Errors
    /// If it is none.
    pub fn session_id(&mut self, text: &str) -> Result<SessionId, InvalidId> {
        self.sessions.find(text, |text| SessionId::new(text))
    }
}

#[derive(Debug)]
struct Recent<T> {
    values: Vec<T>,
    /// The place that is overwritten next.
    oldest: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { values: Vec::new(), oldest: 0 }
    }
}

impl<T: AsRef<str> + Clone> Recent<T> {
    fn find(&mut self, text: &str, make: impl FnOnce(&str) -> Result<T, InvalidId>) -> Result<T, InvalidId> {
        if let Some(value) = self.values.iter().find(|value| value.as_ref() == text) {
            return Ok(value.clone());
        }
        let value = make(text)?;
        if self.values.len() < RECALLED {
            self.values.push(value.clone());
        } else {
            self.values[self.oldest] = value.clone();
            self.oldest = (self.oldest + 1) % RECALLED;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shared_while_they_are_recalled_and_right_when_not() {
        let mut recall = Recall::default();
        let first = recall.name("a").unwrap();
        let pointer = |name: &EventName| name.as_str().as_ptr();
        assert_eq!(pointer(&recall.name("a").unwrap()), pointer(&first));
        for text in ["b", "c", "d", "e", "f", "g", "h", "i"] {
            assert_eq!(recall.name(text).unwrap().as_str(), text);
        }
        let again = recall.name("a").unwrap();
        assert_eq!(again, first);
        assert_ne!(pointer(&again), pointer(&first));
        assert!(recall.client_id("").is_err());
    }
}
