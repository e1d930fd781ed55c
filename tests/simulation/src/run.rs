//! Runs plans, one after the other, each in a runtime of its own.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use livestore_disk::{DiskStats, SimDisk};
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::faults::Fault;
use crate::plan::Plan;
use crate::record::{FaultCounts, Record};
use crate::storage::Device;
use crate::world::World;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub violation: Option<String>,
    /// What happened, a line each.
    pub trace: String,
    /// How often which fault happened.
    pub faults: FaultCounts,
    /// How much time passed in the simulation.
    pub simulated: Duration,
    /// How many events the backend had in the end.
    pub events: usize,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What panicked on this thread since the last call.
pub(crate) fn take_panic() -> Option<String> {
    PANIC.with_borrow_mut(Option::take)
}

/// Notes panics instead of printing them: a task's would be seen by nobody else.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some(THREAD) {
                PANIC.set(Some(format!("{info}")));
            } else {
                others(info);
            }
        }));
    });
}

/// The name of the threads that runs are on.
const THREAD: &str = "simulation";

/// Performs one run. The same plan has the same outcome each time.
///
/// # Panics
/// If no thread can be started.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    note_panics();
    let plan = plan.clone();
    // A thread of its own: what is random in the parts is seeded for a thread.
    let thread = std::thread::Builder::new().name(THREAD.to_owned());
    let run = thread.spawn(move || run_here(plan)).expect("a thread starts");
    run.join().expect("a run catches its panics")
}

fn run_here(plan: Plan) -> Outcome {
    fastrand::seed(plan.seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime is built");
    let _enter = runtime.enter();
    let record = Record::new();
    let began = Instant::now();
    let mut events = 0;
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut world = World::new(plan, record.clone());
            play(&mut world).await;
            events = world.server.len();
        });
    }));
    if ran.is_err() {
        record.violate(take_panic().unwrap_or_else(|| "a panic".to_owned()));
    }
    let simulated = began.elapsed();
    Outcome {
        violation: record.violation(),
        trace: record.trace(),
        faults: record.faults(),
        simulated,
        events,
    }
}

async fn play(world: &mut World) {
    world.record.tell(&world.plan);
    for _ in 0..world.plan.steps {
        // What was killed is gone before anything comes in its place.
        tokio::time::sleep(Duration::from_millis(1)).await;
        world.step().await;
        world.pass().await;
        world.check();
        if world.record.violation().is_some() {
            return;
        }
    }
    world.ways.count(&world.record);
    world.settle().await;
    world.count_disks();
    if world.record.violation().is_none() {
        world.judge();
    }
}

impl World {
    /// Counts the faults of disks.
    fn count_disks(&self) {
        let devices = self.clients.iter().filter_map(|client| client.storage.device());
        let disks = devices.map(Device::disk).chain(self.machine.disk());
        let stats = disks.map(SimDisk::stats).fold(DiskStats::default(), DiskStats::plus);
        self.record.count(Fault::DiskFull, stats.full);
        self.record.count(Fault::WriteFailure, stats.failed_writes + stats.partial_writes);
        self.record.count(Fault::SyncFailure, stats.failed_syncs);
    }
}
