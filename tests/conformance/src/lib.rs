//! Suites that tell an implementer of a livestore trait when it is right, and the written form of each contract.
//!
//! Each suite has a fixture trait that makes the thing under test, and a macro that turns every case into a test of its
//! own. An implementer adds one line:
//!
//! ```ignore
//! livestore_conformance::eventlog!(MyFixture::new());
//! ```
//!
//! | suite | for |
//! | --- | --- |
//! | [`mod@backend`] | every [`SyncBackend`](livestore_traits::SyncBackend): backends, transports, wrappers |
//! | [`mod@eventlog`] | every [`Eventlog`](livestore_traits::Eventlog) |
//! | [`mod@materializer`] | every [`Materializer`](livestore_traits::Materializer) |
//! | [`mod@leader`] | every [`LeaderElection`](livestore_traits::LeaderElection) |
//! | [`mod@link`] | every [`LeaderLink`](livestore_traits::LeaderLink) |

pub mod backend;
pub mod eventlog;
pub mod leader;
pub mod link;
pub mod materializer;

/// Expands to one test per case. Each suite's own macro lists its cases and calls this one.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ($suite:ident, $fixture:expr, [$($case:ident),+ $(,)?]) => {
        $(
            #[test]
            fn $case() {
                $crate::__run(async { $crate::$suite::$case(&$fixture).await });
            }
        )+
    };
}

/// Runs one case on a runtime of its own, with a limit after which it counts as hung.
#[doc(hidden)]
pub fn __run(case: impl Future<Output = ()>) {
    // Far above what any case needs: reaching it is a hang, never a slow machine.
    const HANG: std::time::Duration = std::time::Duration::from_secs(120);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(async { tokio::time::timeout(HANG, case).await.expect("the case hangs") });
}
