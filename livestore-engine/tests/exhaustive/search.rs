//! Breadth first through all schedules, and at random beyond; from every state, faults end and all must converge.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::world::{Action, Crash, Scenario, World, ghost};

/// A schedule that breaks a rule.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) why: String,
    /// What happened, and how many steps of it came before faults ended.
    pub(crate) schedule: Vec<Action>,
    pub(crate) faults_end: usize,
}

/// What a search went through.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    /// Whether there was nothing more to search.
    pub(crate) is_all: bool,
    pub(crate) violation: Option<Violation>,
}

/// Goes through at most `limit` states, those of few steps first.
pub(crate) fn search(scenario: &Scenario, limit: usize) -> Found {
    let start = World::new(scenario.clone());
    let (mut seen, mut good) = (HashSet::from([fingerprint(&start)]), HashSet::new());
    let mut level = vec![(start, Vec::new())];
    while !level.is_empty() {
        let mut next = Vec::new();
        for (world, schedule) in level {
            if let Some(violation) = converge(&world, &schedule, &mut good) {
                return Found { states: seen.len(), is_all: false, violation: Some(violation) };
            }
            for action in world.actions() {
                let mut after = world.clone();
                after.step(action);
                let schedule: Vec<Action> = schedule.iter().copied().chain([action]).collect();
                if let Some(why) = after.broken.clone() {
                    let faults_end = schedule.len();
                    let violation = Some(Violation { why, schedule, faults_end });
                    return Found { states: seen.len(), is_all: false, violation };
                }
                if seen.insert(fingerprint(&after)) {
                    next.push((after, schedule));
                }
                if seen.len() >= limit {
                    return Found { states: seen.len(), is_all: false, violation: None };
                }
            }
        }
        level = next;
    }
    Found { states: seen.len(), is_all: true, violation: None }
}

/// Goes `walks` random ways of at most `steps` steps.
pub(crate) fn walk(scenario: &Scenario, seed: u64, walks: usize, steps: usize) -> Option<Violation> {
    let mut random = Random(seed);
    for _ in 0..walks {
        let mut world = World::new(scenario.clone());
        let (mut schedule, mut good) = (Vec::new(), HashSet::new());
        for _ in 0..steps {
            let actions = world.actions();
            if actions.is_empty() {
                break;
            }
            let action = actions[random.below(actions.len())];
            world.step(action);
            schedule.push(action);
            if let Some(why) = world.broken {
                let faults_end = schedule.len();
                return Some(Violation { why, schedule, faults_end });
            }
        }
        if let Some(violation) = converge(&world, &schedule, &mut good) {
            return Some(violation);
        }
    }
    None
}

/// Follows a schedule without faults to rest; `good` remembers from where it ends well.
fn converge(world: &World, schedule: &[Action], good: &mut HashSet<u64>) -> Option<Violation> {
    let mut world = world.clone();
    (world.faults, world.restores) = (0, 0);
    let faults_end = schedule.len();
    let mut schedule = schedule.to_vec();
    let mut passed = Vec::new();
    let fails = |why: String, schedule| Some(Violation { why, schedule, faults_end });
    for _ in 0..600 {
        let print = fingerprint(&world);
        if good.contains(&print) {
            good.extend(passed);
            return None;
        }
        passed.push(print);
        let calmest = world.actions().into_iter().min_by_key(rank);
        let Some(action) = calmest else {
            return match world.at_rest() {
                Ok(()) => {
                    good.extend(passed);
                    None
                }
                Err(why) => fails(why, schedule),
            };
        };
        world.step(action);
        schedule.push(action);
        if let Some(why) = world.broken {
            return fails(why, schedule);
        }
    }
    fails("no rest after 600 steps without faults".to_owned(), schedule)
}

/// What a healthy system does first.
fn rank(action: &Action) -> (u32, usize) {
    match *action {
        Action::LeaderStart(_) => (0, 0),
        Action::SessionStart(_) => (1, 0),
        Action::Attach(_) => (2, 0),
        Action::Up(_, Crash::Never) => (3, 0),
        Action::Down(_) => (4, 0),
        Action::Push(_, _, true) => (5, 0),
        Action::Answer(_, _, Crash::Never) => (6, 0),
        Action::Page(_, Crash::Never) => (7, 0),
        // As much as there is.
        Action::Send(_, count) => (8, usize::MAX - count),
        Action::Commit(_) => (9, 0),
        Action::Foreign => (10, 0),
        Action::SessionTime(_) => (11, 0),
        Action::LeaderTime(_) => (12, 0),
        _ => (99, 0),
    }
}

/// Tells states apart by all that can be seen of them from outside.
fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    (world.faults, world.restores, world.backend.incarnation, world.backend.foreign).hash(&mut hasher);
    for (_, ghost) in &world.backend.events {
        ghost.hash(&mut hasher);
    }
    for client in &world.clients {
        let heads = &client.log.heads;
        (heads.local, heads.settled, heads.upstream.head, heads.generation).hash(&mut hasher);
        for event in client.log.events.iter().chain(&client.state.events) {
            (event.num, event.is_own, ghost(event)).hash(&mut hasher);
        }
        for record in client.log.sessions.values() {
            (record.persisted, record.gone.len()).hash(&mut hasher);
        }
        for (_, push) in &client.pushes {
            (push.parent, push.events.len()).hash(&mut hasher);
        }
        format!("{:?}", client.answers.iter().map(|(_, answer)| answer).collect::<Vec<_>>())
            .hash(&mut hasher);
        if let Some(pull) = &client.pull {
            pull.after.hash(&mut hasher);
            for page in &pull.pages {
                (page.after, page.through).hash(&mut hasher);
            }
        }
        let leader = client.leader.as_ref().map(|leader| {
            let status = leader.status();
            let is_near =
                leader.poll_timeout().is_some_and(|at| at < client.now + std::time::Duration::from_secs(60));
            (format!("{:?}", status.activity), status.pending_events, status.sessions.len(), is_near)
        });
        leader.hash(&mut hasher);
    }
    for session in &world.sessions {
        let status = session.processor.as_ref().map(|processor| {
            let status = processor.status();
            let heads = (status.local_head, status.upstream_head, status.settled_head);
            (heads, status.attached, status.unconfirmed_commits, processor.poll_timeout().is_some())
        });
        (status, session.next, session.committed.len(), session.link.is_some()).hash(&mut hasher);
        for event in &session.state.events {
            (event.num, ghost(event)).hash(&mut hasher);
        }
        let messages: Vec<_> = session.up.iter().map(|(_, message)| message).collect();
        format!("{messages:?}{:?}{:?}", session.down, session.receipts).hash(&mut hasher);
    }
    hasher.finish()
}

/// A small source of numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
