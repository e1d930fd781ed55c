//! What `merge` costs per event, with 0, 1,000 and 20,000 pending events, and a long catch-up of pages gathered before
//! each merge. Criterion's throughput is in events: for a rebase, those that arrive and those that are renumbered.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use livestore_engine::sync::{Payload, SyncState, merge};
use livestore_traits::{
    Args, ClientId, CommitRef, Event, EventName, GlobalSeq, Heads, RebaseGeneration, SeqNum, SessionId,
};

const PENDING: [u64; 3] = [0, 1_000, 20_000];
/// Events of a page as backends send them.
const PAGE: u64 = 100;
const CATCH_UP: u64 = 100_000;

fn event(global: u64, client: &str, n: u64) -> Event {
    Event {
        num: SeqNum { global: GlobalSeq(global), client: 0, generation: RebaseGeneration(0) },
        name: EventName::new("v1.TodoAdded").expect("a valid name"),
        args: Args::parse(format!(r#"{{"id":"{n}","text":"buy milk and bread"}}"#)).expect("valid JSON"),
        client_id: ClientId::new(client.to_owned()).expect("a valid id"),
        session_id: SessionId::new(client.to_owned()).expect("a valid id"),
        commit: Some(CommitRef { n, index: 0 }),
        unit_end: true,
        is_own: client == "me",
    }
}

fn chain(client: &str, first: u64, count: u64) -> Vec<Event> {
    (0..count).map(|index| event(first + index, client, index + 1)).collect()
}

fn leader(pending: u64) -> SyncState {
    let pending = chain("me", 1, pending);
    let local = pending.last().map_or(SeqNum::ROOT, |event| event.num);
    SyncState::leader(&Heads { local, ..Heads::default() }, pending)
}

fn advance(state: &SyncState, events: Vec<Event>) -> Payload {
    Payload::UpstreamAdvance {
        after: state.upstream_head,
        events,
        settled: None,
        pushed_through: GlobalSeq::ROOT,
    }
}

/// Upstream confirms a page of what is pending.
fn confirm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge/confirm");
    group.throughput(Throughput::Elements(PAGE));
    for pending in PENDING.into_iter().filter(|pending| *pending > 0) {
        let state = leader(pending);
        let echo: Vec<Event> = state.pending.iter().take(PAGE as usize).cloned().collect();
        group.bench_function(format!("{pending} pending"), |bencher| {
            let input = || (state.clone(), advance(&state, echo.clone()));
            bencher.iter_batched_ref(input, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// A page of another client's events arrives; what is pending moves up.
fn foreign(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge/foreign");
    for pending in PENDING {
        let state = leader(pending);
        let page = chain("other", 1, PAGE);
        group.throughput(Throughput::Elements(PAGE + pending));
        group.bench_function(format!("{pending} pending"), |bencher| {
            let input = || (state.clone(), advance(&state, page.clone()));
            bencher.iter_batched_ref(input, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// A session pushes a unit of one event.
fn local_push(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge/local push");
    group.throughput(Throughput::Elements(1));
    for pending in PENDING {
        let state = leader(pending);
        let payload = Payload::LocalPush {
            base: state.local_head,
            expected_n: pending + 1,
            events: vec![event(pending + 1, "me", pending + 1)],
        };
        group.bench_function(format!("{pending} pending"), |bencher| {
            let input = || (state.clone(), payload.clone());
            bencher.iter_batched_ref(input, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// A client that was away for long comes back with much pending: pages are gathered up to the length of pending.
fn catch_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge/catch-up");
    group.sample_size(10);
    group.throughput(Throughput::Elements(CATCH_UP));
    let pages = chain("other", 1, CATCH_UP);
    for pending in PENDING {
        let state = leader(pending);
        let gathered = pending.next_multiple_of(PAGE).max(PAGE) as usize;
        group.bench_function(format!("{pending} pending, {gathered} events gathered"), |bencher| {
            let input = || {
                let pages: Vec<Vec<Event>> = pages.chunks(gathered).map(<[Event]>::to_vec).collect();
                (state.clone(), pages)
            };
            let catch_up = |(state, pages): (SyncState, Vec<Vec<Event>>)| {
                let mut state = state;
                for page in pages {
                    let payload = advance(&state, page);
                    black_box(merge(&mut state, payload)).expect("an honest page");
                }
                state
            };
            bencher.iter_batched(input, catch_up, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn run(input: &mut (SyncState, Payload)) {
    let payload = std::mem::replace(&mut input.1, advance(&input.0, Vec::new()));
    black_box(merge(&mut input.0, payload)).expect("an honest payload");
}

criterion_group!(benches, confirm, foreign, local_push, catch_up);
criterion_main!(benches);
