//! What happens next, as the seed says.

use std::time::Duration;

use livestore_disk::FaultRates;
use livestore_engine::Presence;

use crate::client::{Phase, Process};
use crate::faults::Fault;
use crate::log::LogFault;
use crate::plan::Layer;
use crate::server::CrashAt;
use crate::storage::Device;
use crate::world::{World, pause};

impl World {
    /// Does the next thing.
    pub(crate) async fn step(&mut self) {
        let at = self.chance.usize(..self.clients.len());
        let Some(process) = self.running(at) else { return self.start(at) };
        match self.chance.u32(..100) {
            0..40 => self.commit(at, process),
            40..45 => self.start(at),
            45..50 => self.open_session(at, process),
            50..53 => self.drop_session(at, process),
            53..56 => self.shut_down(at, process),
            56..58 => self.sync_now(at, process),
            _ => self.disturb(at, process).await,
        }
    }

    /// A fault of those that the run has, or the end of one.
    async fn disturb(&mut self, at: usize, process: usize) {
        let faults: Vec<_> = self.plan.faults.iter().collect();
        let name = self.clients[at].processes[process].name.clone();
        match self.chance.choice(faults) {
            Some(
                fault @ (Fault::Partition | Fault::HalfOpen | Fault::AnswersLost | Fault::ConnectionReset),
            ) => self.disturb_way(&name, fault),
            Some(fault @ (Fault::Reordering | Fault::DeadSubscriber))
                if self.plan.layer == Layer::Network =>
            {
                self.disturb_way(&name, fault);
            }
            Some(Fault::ServerCrash) => self.crash_server(),
            Some(Fault::ProcessCrash) => {
                self.record.fault(Fault::ProcessCrash, &name);
                let power = self.may_lose_power();
                self.kill(at, process, power);
            }
            Some(Fault::CommitCrash) => {
                let crash = if self.chance.bool() { LogFault::CrashBefore } else { LogFault::CrashAfter };
                self.arm_log(at, crash);
            }
            Some(Fault::LogFailure) => self.arm_log(at, LogFault::Fails),
            Some(Fault::LeaderPause) => self.pause_leader(at),
            Some(Fault::ClockJump) => {
                let jump = Duration::from_secs(self.chance.u64(1..=900));
                self.record.fault(Fault::ClockJump, format_args!("{jump:?}"));
                tokio::time::advance(jump).await;
            }
            Some(Fault::BackendReset) if self.is_rare() => {
                self.record.fault(Fault::BackendReset, self.server.len());
                self.replace_backend(0).await;
            }
            Some(Fault::BackendRestored) if self.is_rare() => {
                let len = self.chance.usize(..=self.server.len());
                self.record.fault(Fault::BackendRestored, format_args!("{len} of {}", self.server.len()));
                self.replace_backend(len).await;
            }
            Some(Fault::DeadSubscriber) => {
                self.record.fault(Fault::DeadSubscriber, "one more");
                self.server.subscribe_dead().await;
            }
            Some(Fault::BackendRolledBack) if self.is_rare() => self.roll_back_backend(),
            Some(fault @ (Fault::DiskFull | Fault::WriteFailure | Fault::SyncFailure)) => {
                self.disturb_disk(at, fault);
            }
            _ => self.heal_something(at, &name),
        }
    }

    /// Rather rare: hardly anything is left of a run in which the backend is replaced again and again.
    fn is_rare(&mut self) -> bool {
        self.chance.f64() < 0.2
    }

    fn disturb_way(&mut self, name: &str, fault: Fault) {
        self.record.fault(fault, name);
        self.ways.disturb(name, fault, self.chance.f64());
    }

    fn heal_something(&mut self, at: usize, name: &str) {
        if self.ways.heal(name) {
            self.record.tell(format_args!("{name} is reachable"));
        }
        self.heal_disk(at);
        self.restart_server();
        for client in &self.clients {
            client.processes.iter().for_each(|process| process.gate.resume());
            client.election.resume();
        }
    }

    fn crash_server(&mut self) {
        if !self.server.is_up() {
            return self.restart_server();
        }
        if let Some(disk) = self.machine.disk()
            && self.chance.bool()
        {
            return disk.crash_at(self.chance.u64(..40));
        }
        match self.chance.u32(..3) {
            0 => self.server.arm(CrashAt::BeforePush),
            1 => self.server.arm(CrashAt::AfterPush),
            _ => {
                self.record.fault(Fault::ServerCrash, "now");
                self.stop_server();
            }
        }
    }

    /// The client's log fails, or its process crashes, at one of the next commits.
    fn arm_log(&mut self, at: usize, fault: LogFault) {
        if let Some(device) = self.clients[at].storage.device()
            && fault != LogFault::Fails
        {
            return device.disk().crash_at(self.chance.u64(..40));
        }
        let commits = self.chance.usize(..4);
        self.clients[at].model.lock().arm(commits, fault);
    }

    /// A client's disk, or the server's, fails from now on, or is full.
    fn disturb_disk(&mut self, at: usize, fault: Fault) {
        let often = 0.01 + self.chance.f64() * 0.2;
        let rates = match fault {
            Fault::WriteFailure => FaultRates { write: often, partial_write: often, ..FaultRates::NONE },
            Fault::SyncFailure => FaultRates { sync: often, ..FaultRates::NONE },
            _ => FaultRates::NONE,
        };
        let room = (fault == Fault::DiskFull).then(|| self.chance.u64(..100_000));
        let client = &self.clients[at];
        let (whose, disk) = match client.storage.device() {
            Some(device) if self.chance.bool() => (client.name.as_str(), Some(device.disk())),
            _ => ("the server", self.machine.disk()),
        };
        if let Some(disk) = disk {
            self.record.tell(format_args!("{fault}: {whose}, from now on"));
            disk.set_rates(rates);
            disk.set_capacity(room.map(|room| disk.len() + room));
        }
    }

    /// The disks of a client and of the server work again.
    pub(crate) fn heal_disk(&self, at: usize) {
        let device = self.clients[at].storage.device().map(Device::disk);
        for disk in device.into_iter().chain(self.machine.disk()) {
            disk.set_rates(FaultRates::NONE);
            disk.set_capacity(None);
            // Nobody gets so far.
            disk.crash_at(u64::MAX);
        }
    }

    /// A leader stops like a suspended process: where leadership expires, another one takes over. What is committed to it
    /// meanwhile is what it does first when it goes on, whoever leads by then.
    fn pause_leader(&mut self, at: usize) {
        let client = &self.clients[at];
        let leads =
            |process: &Process| process.store().is_some_and(|store| store.presence() == Presence::Here);
        let Some(process) = client.processes.iter().position(leads) else { return };
        self.record.fault(Fault::LeaderPause, &client.processes[process].name);
        client.processes[process].gate.pause();
        client.election.stall();
        self.commit(at, process);
        self.start(at);
    }

    /// A session goes, and what it had not persisted.
    fn drop_session(&mut self, at: usize, process: usize) {
        let client = &mut self.clients[at];
        let process = &mut client.processes[process];
        if process.sessions.len() > 1
            && let Some((session, _)) = process.sessions.pop()
        {
            self.record.tell(format_args!("{} drops session {}", process.name, session.id()));
            client.retired.push(session.id().clone());
        }
    }

    /// A store is shut down while everything else goes on.
    fn shut_down(&mut self, at: usize, process: usize) {
        let limit = Duration::from_secs(self.chance.u64(1..=30));
        let process = &mut self.clients[at].processes[process];
        let Phase::Running(store) = &process.phase else { return };
        self.record.tell(format_args!("{} is shut down", process.name));
        let store = store.clone();
        process.phase = Phase::Closing(tokio::spawn(async move { store.shutdown(limit).await }));
    }

    fn sync_now(&self, at: usize, process: usize) {
        if let Some(store) = self.clients[at].processes[process].store() {
            self.record.tell(format_args!("{} syncs now", self.clients[at].processes[process].name));
            store.sync_now();
        }
    }

    /// Lets some time pass.
    pub(crate) async fn pass(&mut self) {
        tokio::time::sleep(pause(&mut self.chance)).await;
    }
}
