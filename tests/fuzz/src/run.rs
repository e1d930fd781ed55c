//! What every run of a target watches, whatever the target is.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Something that takes bytes from the network, and what has to hold for any of them.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its corpus.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub check: fn(&[u8]),
    /// How many bytes of memory one byte of input may cost at once. A message that claims to be large costs nothing of it.
    pub bytes_per_byte: usize,
    /// What a run may cost beside that, in bytes: an answer, or a whole server.
    pub base_bytes: usize,
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

impl Target {
    /// The longest input that is tried, in bytes.
    pub const MAX_INPUT_BYTES: usize = 8 * 1024;

    /// How much memory an input of `len` bytes may cost at once.
    #[must_use]
    pub const fn max_bytes(&self, len: usize) -> usize {
        self.base_bytes + self.bytes_per_byte * len
    }

    /// Runs one input.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn run(&self, input: &[u8]) {
        count_panics();
        let before = PANICS.get();
        let mut outcome = Ok(());
        let memory = allocation_counter::measure(|| {
            outcome = panic::catch_unwind(AssertUnwindSafe(|| (self.check)(input)));
        });
        if let Err(panic) = outcome {
            panic::resume_unwind(panic);
        }
        assert_eq!(PANICS.get(), before, "{}: a task panicked", self.name);
        let (used, allowed) = (memory.bytes_max, self.max_bytes(input.len()) as u64);
        assert!(used <= allowed, "{}: {} bytes of input took {used} of memory", self.name, input.len());
    }
}

/// All targets run on one thread, also those that have tasks.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            others(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(check: fn(&[u8])) -> bool {
        let target = Target { name: "a", check, bytes_per_byte: 2, base_bytes: 100 };
        panic::catch_unwind(|| target.run(b"0123456789")).is_ok()
    }

    #[test]
    fn a_panic_that_is_caught_on_the_way_fails_the_run() {
        assert!(holds(|_| {}));
        assert!(!holds(|_| drop(panic::catch_unwind(|| panic!("unseen")))));
    }

    #[test]
    fn memory_is_bounded_by_the_input() {
        assert!(holds(|input| assert_eq!(vec![0_u8; 12 * input.len()].len(), 120)));
        assert!(!holds(|input| assert_eq!(vec![0_u8; 12 * input.len() + 1].len(), 121)));
    }
}
