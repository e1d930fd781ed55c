//! What is drawn for a script: sizes and contents of commits, and how the network treats them.

use std::time::Duration;

use livestore_integration::{draft, line};
use livestore_traits::NewEvent;
use livestore_transport_memory::LinkConfig;

/// Texts that many commits share, so that events are told apart by who committed them and not by what they say.
const COMMON: [&str; 2] = ["same", "again"];

/// Draws from one seed.
#[derive(Debug)]
pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// One of `0..count`.
    pub(crate) fn of(&mut self, count: usize) -> usize {
        self.0.usize(..count)
    }

    pub(crate) fn percent(&mut self, chance: u32) -> bool {
        self.0.u32(..100) < chance
    }

    /// Takes one out of `list`, if there is one.
    pub(crate) fn take<T>(&mut self, list: &mut Vec<T>) -> Option<T> {
        (!list.is_empty()).then(|| list.swap_remove(self.0.usize(..list.len())))
    }

    /// The events of one commit; `name` is nobody else's.
    pub(crate) fn unit(&mut self, name: &str) -> Vec<NewEvent> {
        let count = if self.percent(60) { 1 } else { 2 + self.of(3) };
        (0..count)
            .map(|index| {
                let text = match self.of(3) {
                    0 => COMMON[self.of(COMMON.len())].to_owned(),
                    _ => format!("{name}.{index}"),
                };
                if self.percent(65) { line(text) } else { draft(text) }
            })
            .collect()
    }

    /// Links that are good half of the time. Their timeout is short, so that a script sees many.
    pub(crate) fn links(&mut self) -> LinkConfig {
        let mut config = LinkConfig { timeout: Duration::from_millis(30), ..LinkConfig::default() };
        if self.percent(50) {
            config.loss = 0.1;
            config.duplicate = 0.1;
            config.reorder = 0.2;
            config.jitter = Duration::from_millis(1);
        }
        config
    }
}
