//! Every combination tells the same story.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use clap::ValueEnum as _;
use futures::{StreamExt as _, stream};
use mix_and_match::{
    BackendChoice, Choice, Chosen, Concrete, ElectionChoice, EventlogChoice, Outcome, StateChoice,
    TransportChoice, tell,
};

/// How many run at once: they mostly wait for the disk.
const AT_ONCE: usize = 8;

fn all() -> Vec<Choice> {
    let mut all = Vec::new();
    for &eventlog in EventlogChoice::value_variants() {
        for &state in StateChoice::value_variants() {
            for &transport in TransportChoice::value_variants() {
                for &backend in BackendChoice::value_variants() {
                    for &election in ElectionChoice::value_variants() {
                        all.push(Choice { eventlog, state, transport, backend, election });
                    }
                }
            }
        }
    }
    all
}

/// Whoever came first, nothing is lost, nothing is doubled, and units stay whole.
fn check(choice: &str, outcome: &Outcome) {
    let notes: Vec<&str> = outcome.notes.iter().map(String::as_str).collect();
    let of = |name: &'static str| -> Vec<usize> {
        [format!("{name} was here"), format!("{name} had")]
            .iter()
            .map(|note| notes.iter().position(|known| known == note).unwrap())
            .collect()
    };
    assert_eq!(notes.len(), 7, "{choice}: {notes:?}");
    assert_eq!(notes[6], "alice went on alone", "{choice}: {notes:?}");
    for name in ["alice", "bob"] {
        let at = of(name);
        assert!(at[0] < at[1], "{choice}: {notes:?}");
        assert_eq!(notes[at[1] + 1], "an idea", "{choice}: {notes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_combination_converges() {
    let all = all();
    assert_eq!(all.len(), 3 * 3 * 5 * 3 * 3);
    let run = |choice: Choice| async move {
        let told = async { tell(&Chosen::new(choice).await?).await }.await;
        check(&choice.to_string(), &told.unwrap_or_else(|error| panic!("{choice}: {error}")));
    };
    stream::iter(all).map(run).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concrete_parts_converge() {
    check("concrete", &tell(&Concrete::new().unwrap()).await.unwrap());
}
