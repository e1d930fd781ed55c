//! Makes a failing plan smaller: fewer steps, fewer clients, fewer faults, as long as it still fails.

use crate::plan::Plan;
use crate::run::{Outcome, run};

/// The smallest plan found that still fails, whatever with, and its outcome. Takes some dozens of runs.
#[must_use]
pub fn shrink(plan: &Plan, outcome: Outcome) -> (Plan, Outcome) {
    let mut best = (plan.clone(), outcome);
    loop {
        let before = best.0.clone();
        fewer_faults(&mut best);
        fewer_clients(&mut best);
        fewer_steps(&mut best);
        if best.0 == before {
            return best;
        }
    }
}

fn try_plan(best: &mut (Plan, Outcome), plan: Plan) -> bool {
    let outcome = run(&plan);
    let fails = outcome.violation.is_some();
    if fails {
        *best = (plan, outcome);
    }
    fails
}

fn fewer_faults(best: &mut (Plan, Outcome)) {
    for fault in best.0.faults.iter().collect::<Vec<_>>() {
        let faults = best.0.faults.without(fault);
        try_plan(best, Plan { faults, ..best.0.clone() });
    }
}

fn fewer_clients(best: &mut (Plan, Outcome)) {
    while best.0.clients > 1 && try_plan(best, Plan { clients: best.0.clients - 1, ..best.0.clone() }) {}
}

/// Halves, then takes away one by one.
fn fewer_steps(best: &mut (Plan, Outcome)) {
    while best.0.steps > 1 && try_plan(best, Plan { steps: best.0.steps / 2, ..best.0.clone() }) {}
    while best.0.steps > 1 && try_plan(best, Plan { steps: best.0.steps - 1, ..best.0.clone() }) {}
}
