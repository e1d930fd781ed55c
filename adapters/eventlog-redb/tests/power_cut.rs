//! A power cut at any moment: what was committed is there, what was not is there whole or not at all.
//!
//! The disk under the log keeps what was synced. Of what was only written it keeps, after a cut, an arbitrary part.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use livestore_eventlog_redb::RedbEventlog;
use livestore_traits::{
    Args, ClientId, Event, EventName, Eventlog, EventlogReader, Heads, LogCommit, LogCommitKind, Position,
    ReadLimit, SessionId, Term,
};
use redb::StorageBackend;

/// A disk with a cache that forgets.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    /// What reads see.
    written: Vec<u8>,
    /// What was there at the last sync.
    synced: Vec<u8>,
    /// What came since.
    unsynced: Vec<Change>,
    /// Each change of the disk, counted, and the one at which the power is cut.
    changes: u64,
    cut_at: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                if image.len() < offset + bytes.len() {
                    image.resize(offset + bytes.len(), 0);
                }
                image[*offset..][..bytes.len()].copy_from_slice(bytes);
            }
            Self::SetLen(len) => image.resize(*len, 0),
        }
    }

    /// The parts that can be lost one by one.
    fn sectors(&self) -> Vec<Self> {
        match self {
            Self::Write { offset, bytes } => bytes
                .chunks(SECTOR)
                .enumerate()
                .map(|(index, sector)| Self::Write {
                    offset: offset + index * SECTOR,
                    bytes: sector.to_vec(),
                })
                .collect(),
            Self::SetLen(_) => vec![self.clone()],
        }
    }
}

/// What disks write at once or not at all.
const SECTOR: usize = 512;

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut disk = self.lock();
        disk.step()?;
        change.apply(&mut disk.written);
        disk.unsynced.push(change);
        Ok(())
    }

    /// The disk after the cut: each sector written since the last sync is there or not, and so is each new length.
    fn after_cut(&self, mut luck: Luck) -> Self {
        let disk = self.lock();
        let mut image = disk.synced.clone();
        let sectors = disk.unsynced.iter().flat_map(Change::sectors);
        sectors.filter(|_| luck.keeps()).for_each(|change| change.apply(&mut image));
        let contents =
            Contents { written: image.clone(), synced: image, cut_at: u64::MAX, ..Contents::default() };
        Self(Arc::new(Mutex::new(contents)))
    }
}

impl Contents {
    fn step(&mut self) -> io::Result<()> {
        self.changes += 1;
        if self.changes >= self.cut_at { Err(io::Error::other("no power")) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().written.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.lock();
        let from = disk.written.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen(len as usize))
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write { offset: offset as usize, bytes: data.to_vec() })
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.lock();
        disk.step()?;
        disk.synced = disk.written.clone();
        disk.unsynced.clear();
        Ok(())
    }
}

/// What a cut leaves of what was not synced.
enum Luck {
    All,
    Nothing,
    /// Each part or not, by a small generator, so that a cut is named by its seed.
    Some(u64),
}

impl Luck {
    fn keeps(&mut self) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Some(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                state.is_multiple_of(2)
            }
        }
    }
}

/// Commits of a growing log, which now and then roll all of it back. Large enough for the file to grow.
fn commit_after(heads: &Heads, round: u64) -> LogCommit {
    let mut commit = LogCommit::new(heads);
    let mut num = heads.local;
    if round % 12 == 11 {
        num = livestore_traits::SeqNum::ROOT;
        commit.kind = LogCommitKind::Rollback { to: num };
        commit.generation = heads.generation.next();
    }
    for _ in 0..20 {
        num = num.next_synced(commit.generation);
        commit.append.push(Event {
            num,
            name: EventName::new("v1.Noted").expect("a valid name"),
            args: Args::from_value(&format!("{round} {}", "x".repeat(4_000))).expect("text is JSON"),
            client_id: ClientId::new("c1").expect("a valid id"),
            session_id: SessionId::new("s1").expect("a valid id"),
            commit: None,
            unit_end: true,
            is_own: true,
        });
    }
    commit
}

fn state(log: &RedbEventlog) -> (Heads, Vec<Event>) {
    let events = log.read(Position::ROOT, ReadLimit::events(10_000)).expect("events can be read");
    (log.heads().expect("heads can be read"), events)
}

/// Works until the power is cut, and returns the last state that was committed and the one that was to be next.
fn work_until_cut(log: &mut RedbEventlog) -> [(Heads, Vec<Event>); 2] {
    let mut committed = state(log);
    for round in 0.. {
        let commit = commit_after(&committed.0, round);
        let mut events = match commit.kind {
            LogCommitKind::Append => committed.1.clone(),
            LogCommitKind::Rollback { .. } | LogCommitKind::Reset { .. } => Vec::new(),
        };
        events.extend(commit.append.iter().cloned());
        let heads = commit.check(Term(1), &committed.0, |_| Ok(true)).expect("a commit that keeps the rules");
        let next = (heads, events);
        match log.commit(Term(1), commit) {
            Ok(_) => committed = next,
            Err(_) => return [committed, next],
        }
    }
    unreachable!("the power is cut at some time")
}

#[test]
fn no_cut_loses_what_was_committed_or_leaves_half_of_a_commit() {
    let (mut in_flight_survived, mut files_grew) = (0, 0);
    for cut_at in (1..40).chain((40..700).step_by(13)) {
        let disk = Disk::default();
        disk.lock().cut_at = u64::MAX;
        let mut log = RedbEventlog::with_backend(disk.clone()).unwrap();
        {
            let mut contents = disk.lock();
            contents.cut_at = contents.changes + cut_at;
        }
        let len = disk.len().unwrap();
        let [committed, next] = work_until_cut(&mut log);
        files_grew += u32::from(disk.len().unwrap() > len);
        drop(log);
        let lucks = [Luck::All, Luck::Nothing, Luck::Some(cut_at * 2 + 1), Luck::Some(cut_at * 1_000 + 1)];
        for (which, luck) in lucks.into_iter().enumerate() {
            let after = disk.after_cut(luck);
            let log = RedbEventlog::with_backend(after)
                .unwrap_or_else(|error| panic!("cut at {cut_at}, luck {which}: {error:?}"));
            let found = state(&log);
            in_flight_survived += u32::from(found == next);
            assert!(
                found == committed || found == next,
                "cut at {cut_at}, luck {which}: {} after {}",
                found.0.local,
                committed.0.local
            );
        }
    }
    assert!(files_grew > 0, "no file grew");
    assert!(in_flight_survived > 0, "no cut came between a write and the end of its commit");
}
