//! Hosts, the links between them, and how connections come about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use fastrand::Rng;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use livestore_dial::{ByteStream, Connector};
use livestore_server::SyncService;
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::Connection;
use crate::counts::{Count, Counts};
use crate::pump::Pump;
use crate::{LinkConfig, SimStream, Unreachable};

/// What a host does with the connections that reach it.
type Accept = Arc<dyn Fn(SimStream, SocketAddr) + Send + Sync>;
/// Two hosts: one after the other, or, as [`pair`] makes it, both directions between them.
pub(crate) type Pair = (Arc<str>, Arc<str>);

/// A network between named hosts. Clones are handles of the same network.
///
/// Must be made and used within one tokio runtime with time; on a paused one, idle stretches take no time.
#[derive(Clone)]
pub struct SimNetwork {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    seed: u64,
    pump: Arc<Pump>,
    pub(crate) counts: Arc<Counts>,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    link: LinkConfig,
    hosts: BTreeMap<Arc<str>, Host>,
    connections: BTreeMap<(Arc<str>, Arc<str>, u64), Weak<Connection>>,
    /// From whom to whom nothing gets through, and how that looks to one who connects.
    pub(crate) blocked: BTreeMap<Pair, Unreachable>,
    pub(crate) stalled: BTreeMap<Pair, Instant>,
    pub(crate) ambushed: BTreeSet<Pair>,
    pub(crate) slow: BTreeMap<Arc<str>, u32>,
    /// Draws the faults.
    pub(crate) chance: Rng,
}

#[derive(Default)]
struct Host {
    number: u8,
    accept: Option<Accept>,
    /// Whether it is gone without a trace: nobody says that the port is closed.
    is_silent: bool,
    /// How many connections it has begun, by the host at the other end.
    begun: BTreeMap<Arc<str>, u64>,
}

impl SimNetwork {
    /// A network whose delays and faults come from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            link: LinkConfig::default(),
            hosts: BTreeMap::new(),
            connections: BTreeMap::new(),
            blocked: BTreeMap::new(),
            stalled: BTreeMap::new(),
            ambushed: BTreeSet::new(),
            slow: BTreeMap::new(),
            chance: Rng::with_seed(seed),
        };
        let shared =
            Shared { seed, pump: Arc::default(), counts: Arc::new(Counts::new()), inner: Mutex::new(inner) };
        Self { shared: Arc::new(shared) }
    }

    /// How links behave; for connections to come.
    pub fn configure(&self, link: LinkConfig) {
        self.lock().link = link;
    }

    /// The way into the network for the client on the host `client`. The host of its URL is the name of the server's
    /// host.
    #[must_use]
    pub fn connector(&self, client: &str) -> SimConnector {
        self.lock().host(client);
        SimConnector { network: self.clone(), client: client.into() }
    }

    /// Serves `service` on `host`: again, if it was there before.
    pub fn serve(&self, host: &str, service: SyncService) {
        self.listen(host, move |stream, peer| {
            let service = service.clone();
            tokio::spawn(async move { service.serve_connection(stream, peer).await });
        });
    }

    /// Gives the connections that reach `host` to `accept`, with the address they come from.
    pub fn listen(&self, host: &str, accept: impl Fn(SimStream, SocketAddr) + Send + Sync + 'static) {
        let mut inner = self.lock();
        let host = inner.host(host);
        let old = host.accept.replace(Arc::new(accept));
        host.is_silent = false;
        drop(inner);
        // What it holds may be connections.
        drop(old);
    }

    /// Nobody serves on `host` any more. Its connections stay.
    pub(crate) fn unlisten(&self, host: &str, is_silent: bool) {
        let mut inner = self.lock();
        let host = inner.host(host);
        host.is_silent = is_silent;
        let old = host.accept.take();
        drop(inner);
        drop(old);
    }

    /// How often each thing has happened.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Count, u64> {
        self.shared.counts.all()
    }

    /// A digest of who wrote how much to whom, and when: the same in two runs of one seed, or one of them did something
    /// else.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.shared.counts.digest()
    }

    /// All connections that are there, in the order of their names.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        let mut inner = self.lock();
        inner.connections.retain(|_, connection| connection.strong_count() > 0);
        inner.connections.values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(self, client: Arc<str>, to: Uri) -> io::Result<SimStream> {
        let server: Arc<str> = to.host().unwrap_or_default().into();
        let (link, nth) = self.lock().begin(&client, &server);
        let mut random = self.random(&client, &server, nth);
        sleep(link.lookup.mul_f64(random.f64())).await;
        if !self.lock().hosts.contains_key(&server) {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no host is called {server}")));
        }
        sleep(link.latency * 2 + link.jitter.mul_f64(random.f64() + random.f64())).await;
        // What stands still goes on, and may stand still again.
        let stalled_until = || self.lock().stalled_until(&client, &server);
        while let Some(until) = stalled_until() {
            sleep_until(until).await;
        }
        let reached = self.lock().reach(&client, &server);
        match reached {
            Ok((accept, peer)) => Ok(self.join((client, server, nth), link, &mut random, &accept, peer)),
            Err(Unreachable::Refuses) => {
                self.shared.counts.add(Count::Refused);
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Err(Unreachable::Silent) => {
                self.shared.counts.add(Count::Unanswered);
                pending().await
            }
        }
    }

    fn join(
        &self,
        name: (Arc<str>, Arc<str>, u64),
        link: LinkConfig,
        random: &mut Rng,
        accept: &Accept,
        peer: SocketAddr,
    ) -> SimStream {
        let Shared { pump, counts, .. } = &*self.shared;
        pump.start();
        counts.add(Count::Connected);
        let (connection, near, far) =
            Connection::new(name.clone(), link, random, pump.clone(), counts.clone());
        let mut inner = self.lock();
        inner.limit(&connection);
        if inner.ambushed.remove(&pair(&name.0, &name.1)) {
            connection.ambush();
        }
        inner.connections.insert(name, Arc::downgrade(&connection));
        drop(inner);
        accept(far, peer);
        near
    }

    /// A generator for one connection, whatever happens on others.
    fn random(&self, client: &str, server: &str, nth: u64) -> Rng {
        let mut hasher = DefaultHasher::new();
        (self.shared.seed, client, server, nth).hash(&mut hasher);
        Rng::with_seed(hasher.finish())
    }
}

impl Inner {
    fn host(&mut self, name: &str) -> &mut Host {
        let count = u8::try_from(self.hosts.len()).unwrap_or(u8::MAX);
        let host = || Host { number: count, ..Host::default() };
        self.hosts.entry(name.into()).or_insert_with(host)
    }

    fn begin(&mut self, client: &Arc<str>, server: &Arc<str>) -> (LinkConfig, u64) {
        let begun = self.host(client).begun.entry(server.clone()).or_default();
        *begun += 1;
        let nth = *begun;
        (self.link, nth)
    }

    fn stalled_until(&self, client: &str, server: &str) -> Option<Instant> {
        self.stalled.get(&pair(client, server)).copied().filter(|until| *until > Instant::now())
    }

    /// Who takes a connection at `server`, and where it says that it comes from.
    fn reach(&mut self, client: &Arc<str>, server: &Arc<str>) -> Result<(Accept, SocketAddr), Unreachable> {
        let ways = [(client.clone(), server.clone()), (server.clone(), client.clone())];
        if let Some(why) = ways.iter().find_map(|way| self.blocked.get(way)) {
            return Err(*why);
        }
        let Host { number, begun, .. } = self.host(client);
        let ports: u64 = begun.values().sum();
        let port = 1024 + u16::try_from(ports % 60_000).unwrap_or(0);
        let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, *number), port));
        let host = self.host(server);
        match &host.accept {
            Some(accept) => Ok((accept.clone(), peer)),
            None if host.is_silent => Err(Unreachable::Silent),
            None => Err(Unreachable::Refuses),
        }
    }
}

/// The way into a network for one client, in place of TCP.
#[derive(Clone, Debug)]
pub struct SimConnector {
    network: SimNetwork,
    client: Arc<str>,
}

impl Connector for SimConnector {
    fn connect(&self, to: Uri) -> BoxFuture<'static, io::Result<Box<dyn ByteStream>>> {
        let stream = self.network.clone().connect(self.client.clone(), to);
        stream.map(|stream| stream.map(|stream| Box::new(stream) as Box<dyn ByteStream>)).boxed()
    }
}

/// The same for both directions.
pub(crate) fn pair(one: &str, other: &str) -> Pair {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    (first.into(), second.into())
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNetwork").field("seed", &self.shared.seed).finish_non_exhaustive()
    }
}
