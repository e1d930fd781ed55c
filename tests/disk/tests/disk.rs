//! The disk keeps what it promises, and nothing that it does not.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::io::ErrorKind;

use livestore_disk::{FaultRates, SimDisk, SimFile, Survival};
use redb::StorageBackend;

const PAGE: usize = 4096;

fn page(byte: u8) -> Vec<u8> {
    vec![byte; PAGE]
}

fn read(file: &SimFile, number: u64) -> Vec<u8> {
    let mut out = page(0);
    file.read(number * PAGE as u64, &mut out).unwrap();
    out
}

fn write(file: &SimFile, number: u64, byte: u8) -> std::io::Result<()> {
    file.write(number * PAGE as u64, &page(byte))
}

/// A disk with one synced page of ones.
fn disk(seed: u64) -> (SimDisk, SimFile) {
    let disk = SimDisk::new(seed);
    let file = disk.open();
    write(&file, 0, 1).unwrap();
    file.sync_data().unwrap();
    (disk, file)
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_may_keep_the_rest() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let (disk, file) = disk(seed);
        write(&file, 0, 2).unwrap();
        write(&file, 1, 3).unwrap();
        disk.crash();
        let file = disk.open();
        let first = read(&file, 0);
        let is_torn = first.windows(2).any(|pair| pair[0] != pair[1]);
        assert!(first.chunks(512).all(|sector| sector == &page(1)[..512] || sector == &page(2)[..512]));
        outcomes.insert((is_torn, first[0], disk.len() / PAGE as u64));
    }
    for outcome in [(false, 1, 1), (false, 2, 1), (false, 1, 2), (false, 2, 2), (true, 1, 2), (true, 2, 1)] {
        assert!(outcomes.contains(&outcome), "{outcome:?} never happened");
    }
}

#[test]
fn what_was_written_outlives_a_process_and_not_always_the_power() {
    let (disk, file) = disk(1);
    write(&file, 0, 2).unwrap();
    disk.kill();
    assert_eq!(read(&disk.open(), 0), page(2));
    disk.crash_with(Survival::Nothing);
    assert_eq!(read(&disk.open(), 0), page(1));
}

#[test]
fn zombies_change_nothing() {
    let (disk, zombie) = disk(1);
    let file = disk.open();
    write(&zombie, 0, 9).unwrap_err();
    zombie.set_len(0).unwrap_err();
    zombie.sync_data().unwrap_err();
    zombie.read(0, &mut [0]).unwrap_err();
    assert_eq!((read(&file, 0), disk.len(), disk.stats().zombie_operations), (page(1), PAGE as u64, 4));
}

#[test]
fn a_process_dies_at_the_operation_that_was_set() {
    let (disk, file) = disk(1);
    disk.crash_at(2);
    write(&file, 1, 2).unwrap();
    file.sync_data().unwrap();
    assert!(!disk.is_dead());
    write(&file, 2, 3).unwrap_err();
    assert!(disk.is_dead());
    file.read(0, &mut [0]).unwrap_err();
    let file = disk.open();
    assert!(!disk.is_dead());
    assert_eq!(read(&file, 1), page(2));
    write(&file, 2, 3).unwrap();
}

#[test]
fn there_is_no_more_room_than_there_is() {
    let (disk, file) = disk(1);
    disk.set_capacity(Some(2 * PAGE as u64));
    write(&file, 1, 2).unwrap();
    assert_eq!(write(&file, 2, 3).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.set_len(3 * PAGE as u64).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!((disk.len(), disk.stats().full), (2 * PAGE as u64, 2));
    disk.set_capacity(None);
    write(&file, 2, 3).unwrap();
}

#[test]
fn a_later_sync_does_not_bring_back_what_a_failed_one_lost() {
    let mut lost = 0;
    for seed in 0..100 {
        let (disk, file) = disk(seed);
        write(&file, 0, 2).unwrap();
        disk.set_rates(FaultRates { sync: 1.0, ..FaultRates::NONE });
        file.sync_data().unwrap_err();
        disk.set_rates(FaultRates::NONE);
        assert_eq!(read(&file, 0), page(2), "the process still sees it");
        file.sync_data().unwrap();
        let found = read(&disk.open(), 0);
        disk.crash();
        assert_eq!(read(&disk.open(), 0), found, "what is there now stays");
        lost += u32::from(found != page(2));
    }
    assert!((20..80).contains(&lost), "{lost} of 100 were lost");
}

#[test]
fn faults_come_as_often_as_they_are_asked_for() {
    let (disk, file) = disk(7);
    disk.set_rates(FaultRates::all(0.1));
    for _ in 0..1_000 {
        let _ = (write(&file, 0, 2), file.sync_data(), file.read(0, &mut [0]));
    }
    let stats = disk.stats();
    for count in [stats.failed_writes, stats.partial_writes, stats.failed_syncs, stats.failed_reads] {
        assert!((60..150).contains(&count), "{stats:?}");
    }
}

#[test]
fn a_disk_that_lies_keeps_nothing_for_sure() {
    let (disk, file) = disk(1);
    disk.set_lying(true);
    write(&file, 0, 2).unwrap();
    file.sync_data().unwrap();
    disk.crash_with(Survival::Nothing);
    assert_eq!(read(&disk.open(), 0), page(1));
}

#[test]
fn a_copy_can_be_put_back() {
    let (disk, file) = disk(1);
    let copy = disk.copy();
    write(&file, 0, 2).unwrap();
    file.sync_data().unwrap();
    disk.restore(&copy);
    write(&file, 0, 3).unwrap_err();
    disk.crash();
    assert_eq!(read(&disk.open(), 0), page(1));
}

#[test]
fn the_same_seed_is_the_same_disk() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        disk.set_rates(FaultRates::all(0.2));
        for round in 0..50 {
            let file = disk.open();
            let _ = (write(&file, round % 3, round as u8), file.sync_data(), write(&file, 1, round as u8));
            disk.crash();
        }
        (disk.copy(), disk.stats())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
