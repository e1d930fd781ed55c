//! The ways between clients and server: messages in memory, or the real transports over a simulated network.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use livestore_connect::Connect;
use livestore_server::Server as SyncServer;
use livestore_sim_network::{Count, Crash, LinkConfig as ConnectionConfig, SimNetwork, Unreachable, Wire};
use livestore_traits::{BackendProvider, ProviderError, StoreId, SyncBackend};
use livestore_transport_memory::{Condition, LinkConfig, Network};

use crate::faults::Fault;
use crate::plan::Layer;
use crate::record::Record;
use crate::server::Server;

/// The name of the server's host.
const SERVER: &str = "server";

/// All ways of a run; each client's is named.
#[derive(Debug)]
pub(crate) enum Ways {
    /// One message at a time, which may be lost, or arrive twice.
    Memory { network: Network, names: Vec<String> },
    /// Connections of bytes, in order until they break.
    Sim(SimNetwork),
}

/// Every store is the one of the run.
#[derive(Debug)]
struct OneStore(Server);

#[async_trait]
impl BackendProvider for OneStore {
    async fn open(&self, _: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        Ok(Arc::new(self.0.clone()))
    }
}

impl Ways {
    pub(crate) fn new(layer: Layer, seed: u64) -> Self {
        match layer {
            Layer::Memory | Layer::Disk => Self::Memory { network: Network::new(seed), names: Vec::new() },
            Layer::Network => Self::Sim(SimNetwork::new(seed)),
        }
    }

    /// How messages travel from now on.
    pub(crate) fn configure(&self, links: LinkConfig) {
        match self {
            Self::Memory { network, .. } => network.configure(links),
            Self::Sim(network) => {
                let (latency, jitter) = (links.latency, links.jitter);
                network.configure(ConnectionConfig { latency, jitter, ..ConnectionConfig::IDEAL });
            }
        }
    }

    /// A way for the client of this name, on `wire` if there are wires.
    pub(crate) fn connect(&mut self, name: &str, server: &Server, wire: Wire) -> Arc<dyn SyncBackend> {
        match self {
            Self::Memory { network, names } => {
                names.push(name.to_owned());
                Arc::new(network.connect(Arc::new(server.clone()), name))
            }
            Self::Sim(network) => {
                let store = StoreId::new("notebook").expect("a good store id");
                let way = Connect::to(wire.url(SERVER), store).connector(network.connector(name));
                way.backend().expect("a good address")
            }
        }
    }

    /// The server accepts connections.
    pub(crate) fn serve(&self, server: &Server) {
        if let Self::Sim(network) = self {
            network.serve(SERVER, SyncServer::builder(OneStore(server.clone())).into_service());
        }
    }

    /// The server's connections end; with `power`, without a word.
    pub(crate) fn end_server(&self, power: bool) {
        if let Self::Sim(network) = self {
            network.crash(SERVER, crash(power));
        }
    }

    /// The connections of a client's process end.
    pub(crate) fn end_client(&self, name: &str, power: bool) {
        match self {
            Self::Memory { network, .. } => {
                if let Some(link) = network.link(name) {
                    link.partition();
                }
            }
            Self::Sim(network) => network.crash(name, crash(power)),
        }
    }

    /// Something happens to a client's way; `amount`, from 0 to 1, is how much of it.
    pub(crate) fn disturb(&self, name: &str, fault: Fault, amount: f64) {
        match self {
            Self::Memory { network, .. } => {
                let Some(link) = network.link(name) else { return };
                match fault {
                    Fault::HalfOpen => link.silence(),
                    Fault::AnswersLost => link.lose_answers(),
                    _ => link.partition(),
                }
            }
            Self::Sim(network) => match fault {
                Fault::HalfOpen if amount < 0.5 => network.partition(name, SERVER, Unreachable::Silent),
                Fault::HalfOpen => network.half_open(name, SERVER),
                Fault::AnswersLost if amount < 0.5 => network.lose_answer(name, SERVER),
                Fault::AnswersLost => network.half_open(SERVER, name),
                Fault::ConnectionReset => network.cut(name, SERVER, livestore_sim_network::End::Reset),
                Fault::DeadSubscriber => network.slow_reader(name, 1 + (amount * 200.0) as u32),
                Fault::Reordering => network.stall(name, SERVER, Duration::from_secs_f64(amount * 60.0)),
                _ => network.partition(name, SERVER, Unreachable::Refuses),
            },
        }
    }

    /// A client's way is good again; tells whether it was not.
    pub(crate) fn heal(&self, name: &str) -> bool {
        match self {
            Self::Memory { network, .. } => {
                let link = network.link(name).filter(|link| link.condition() != Condition::Up);
                link.inspect(|link| link.heal()).is_some()
            }
            Self::Sim(network) => {
                network.heal(name, SERVER);
                true
            }
        }
    }

    pub(crate) fn heal_all(&self) {
        match self {
            Self::Memory { network, .. } => network.heal(),
            Self::Sim(network) => network.heal_all(),
        }
    }

    /// Counts the faults of messages and connections.
    pub(crate) fn count(&self, record: &Record) {
        match self {
            Self::Memory { network, names } => {
                for link in names.iter().filter_map(|name| network.link(name)) {
                    let stats = link.stats();
                    record.count(Fault::Loss, stats.lost);
                    record.count(Fault::Duplication, stats.duplicated);
                    record.count(Fault::Reordering, stats.held_back);
                }
            }
            Self::Sim(network) => {
                let truncated = network.counts().get(&Count::Truncation).copied();
                record.count(Fault::Loss, truncated.unwrap_or_default());
            }
        }
    }
}

const fn crash(power: bool) -> Crash {
    if power { Crash::Machine } else { Crash::Process }
}
