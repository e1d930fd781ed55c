//! The life of a log: opened, used until something fails, and opened again, many times over.

use fastrand::Rng;
use livestore_disk::{DiskStats, Fate, SimDisk};
use livestore_eventlog_redb::RedbEventlog;
use livestore_traits::{Eventlog, EventlogError, EventlogReader, LogCommit, Term};

use crate::view::View;

/// How often a log is opened.
const LIVES: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Disk {
    Honest,
    Lying,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) disk: DiskStats,
    pub(crate) commits: u64,
    pub(crate) failed_commits: u64,
    /// Commits that failed and that were there when the log was opened again.
    pub(crate) late_commits: u64,
    pub(crate) failed_opens: u64,
    pub(crate) zombie_commits: u64,
}

struct Life<'a> {
    disk: SimDisk,
    rng: Rng,
    /// What may be found: what was committed last and, after commits that failed, what they would have led to.
    possible: Vec<View>,
    tally: &'a mut Tally,
}

/// Leads the life that `seed` names. The error tells which promise was broken.
pub(crate) fn live(seed: u64, disk: Disk, tally: &mut Tally) -> Result<(), String> {
    let mut life =
        Life { disk: SimDisk::new(seed), rng: Rng::with_seed(seed), possible: vec![View::empty()], tally };
    life.disk.set_lying(disk == Disk::Lying);
    let mut zombie = None;
    for number in 0..LIVES {
        // The last process finds out what there is.
        let fate = if number + 1 == LIVES { Fate::Fine } else { Fate::draw(&mut life.rng) };
        zombie = life.process(fate, zombie).map_err(|why| format!("life {number}, {fate:?}: {why}"))?;
    }
    life.tally.disk = life.tally.disk.plus(life.disk.stats());
    Ok(())
}

impl Life<'_> {
    /// One process: opens the log, looks at it, commits until it has enough or the disk has. Gives what is left of it
    /// when it is gone.
    fn process(&mut self, fate: Fate, zombie: Option<RedbEventlog>) -> Result<Option<RedbEventlog>, String> {
        let file = self.disk.open();
        fate.strike(&self.disk, 1, &mut self.rng);
        let opened = RedbEventlog::with_backend(file);
        if let Some(zombie) = zombie {
            self.try_zombie(zombie)?;
        }
        let left = match opened {
            Ok(mut log) => {
                self.work(&mut log, fate)?;
                Some(log)
            }
            Err(error) => {
                self.tally.failed_opens += 1;
                allowed(&error, fate)?;
                None
            }
        };
        Ok(self.end(left))
    }

    fn work(&mut self, log: &mut RedbEventlog, fate: Fate) -> Result<(), String> {
        let mut view = match View::of(log) {
            Ok(view) => view,
            Err(error) => return allowed(&error, fate),
        };
        let Some(which) = self.possible.iter().position(|possible| *possible == view) else {
            let possible: Vec<_> = self.possible.iter().map(|view| &view.heads).collect();
            return Err(format!("{:?} was found instead of one of {possible:?}", view.heads));
        };
        self.tally.late_commits += u64::from(which > 0);
        // What was shown must stay, as it may have been passed on.
        self.possible = vec![view.clone()];
        let term = Term(view.heads.term.0 + 1);
        for _ in 0..self.rng.usize(..25) {
            let commit = view.invent(&mut self.rng);
            let next = view.after(term, &commit);
            match log.commit(term, commit) {
                Ok(heads) if heads == next.heads => {}
                Ok(heads) => return Err(format!("{heads:?} was acknowledged instead of {:?}", next.heads)),
                Err(error) => {
                    self.tally.failed_commits += 1;
                    self.possible.push(next);
                    allowed(&error, fate)?;
                    return must_be_closed(log);
                }
            }
            self.tally.commits += 1;
            self.possible = vec![next.clone()];
            view = next;
        }
        match View::of(log) {
            Ok(found) if found != view => Err("the log shows something else than was committed".into()),
            Ok(_) => Ok(()),
            Err(error) => allowed(&error, fate),
        }
    }

    /// The process ends in one of the ways in which processes end. Those that were not asked leave a handle behind.
    fn end(&mut self, log: Option<RedbEventlog>) -> Option<RedbEventlog> {
        let left = match self.rng.u8(..3) {
            0 => {
                drop(log);
                None
            }
            1 => {
                self.disk.kill();
                log
            }
            _ => {
                self.disk.crash();
                log
            }
        };
        self.disk.heal();
        left
    }

    /// A process that was only believed to be gone goes on, while the next one has the log.
    fn try_zombie(&mut self, mut zombie: RedbEventlog) -> Result<(), String> {
        let before = self.disk.copy();
        if let Ok(heads) = zombie.heads() {
            let committed = zombie.commit(Term(u64::MAX), LogCommit::new(&heads));
            if committed.is_ok() {
                return Err("a zombie's commit was acknowledged".into());
            }
            self.tally.zombie_commits += 1;
        }
        drop(zombie);
        if self.disk.copy() == before { Ok(()) } else { Err("a zombie changed the disk".into()) }
    }
}

/// Whether the disk gave reason for the error, and the error says so. A fault is never called damage: that would send
/// people to their backups.
fn allowed(error: &EventlogError, fate: Fate) -> Result<(), String> {
    match (fate, error) {
        (Fate::Dies | Fate::Fails, EventlogError::Storage(_)) | (Fate::Full, EventlogError::Full(_)) => {
            Ok(())
        }
        _ => Err(format!("the log said {error:?}")),
    }
}

fn must_be_closed(log: &mut RedbEventlog) -> Result<(), String> {
    let commit = log.commit(Term(u64::MAX), LogCommit::new(&View::empty().heads));
    match (log.heads(), commit) {
        (Err(EventlogError::Closed), Err(EventlogError::Closed)) => Ok(()),
        open => Err(format!("after a failed commit the log says {open:?}")),
    }
}
