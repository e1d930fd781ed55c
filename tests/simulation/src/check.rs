//! What must hold after every step.

use livestore_engine::Session;

use crate::app::read;
use crate::client::{Client, Phase};
use crate::world::World;

impl World {
    /// Checks everything that can be seen now.
    pub(crate) fn check(&mut self) {
        if let Some(panic) = crate::run::take_panic() {
            self.record.violate(panic);
        }
        self.look();
        for client in &self.clients {
            for process in &client.processes {
                let Phase::Running(store) = &process.phase else { continue };
                let leader = store.store_status().leader;
                self.record.check(client.model.lock().had(leader.local_head), || {
                    format!("{}: the leader tells {}, which is not durable", process.name, leader.local_head)
                });
                process.sessions.iter().for_each(|(session, _)| self.check_session(client, session));
            }
        }
    }

    /// A session has only what is durable, and shows what the log makes of it.
    fn check_session(&self, client: &Client, session: &Session) {
        let status = session.status();
        let model = client.model.lock();
        let name = || format!("{}.{}", client.name, session.id());
        self.record.check(model.had(status.upstream_head), || {
            format!("{} has {}, which is not durable", name(), status.upstream_head)
        });
        if status.pending_events > 0 || status.ended {
            return;
        }
        // What was rolled back meanwhile is on its way.
        let Some(expected) = model.state_at(status.upstream_head) else { return };
        let shown = read(session);
        self.record.check(shown.as_ref() == Some(&expected), || {
            format!("{} at {} shows {shown:?}, not {expected:?}", name(), status.upstream_head)
        });
    }
}
