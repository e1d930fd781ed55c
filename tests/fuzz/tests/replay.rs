//! Every input of the corpus still holds: the messages it began with, what was found to reach new code, and what failed
//! once.

use std::collections::BTreeSet;
use std::fs;
use std::panic;

use livestore_fuzz::{Corpus, TARGETS, seeds};

#[test]
fn every_input_of_the_corpus_holds() {
    let mut failed = Vec::new();
    for target in TARGETS {
        for (line, input) in Corpus::of(target).inputs().unwrap() {
            if panic::catch_unwind(|| target.run(&input)).is_err() {
                failed.push(format!("cargo run -p livestore-fuzz -- run {} --line {line}", target.name));
            }
        }
    }
    assert!(failed.is_empty(), "to see them again:\n{}", failed.join("\n"));
}

/// A corpus that belongs to no target is run by nobody, and a target without one is hardly tried.
#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len(), "two targets have one name");
    let entries = fs::read_dir(Corpus::root()).unwrap().map(|entry| entry.unwrap().path());
    let corpora = entries.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(corpora.collect::<BTreeSet<_>>(), names);
    for target in TARGETS {
        assert!(!Corpus::of(target).inputs().unwrap().is_empty(), "{} has no inputs", target.name);
    }
}

/// A message whose form has changed would no longer lead into its decoder.
#[test]
fn the_seeds_are_those_of_today() {
    for (target, inputs) in seeds().unwrap() {
        let target = TARGETS.iter().find(|other| other.name == target).unwrap();
        let kept: BTreeSet<_> =
            Corpus::of(target).inputs().unwrap().into_iter().map(|(_, input)| input).collect();
        for input in inputs {
            let text = input.escape_ascii();
            assert!(
                kept.contains(&input),
                "{}: run `cargo run -p livestore-fuzz -- seeds`: {text}",
                target.name
            );
        }
    }
}
