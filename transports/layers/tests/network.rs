//! `Retry` over the memory transport: whatever the network does, once it is over every event is stored once and seen
//! once.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use livestore_backend_memory::MemoryBackend;
use livestore_layers::Retry;
use livestore_traits::{Args, ClientId, GlobalSeq, PullMode, PushError, SyncBackend, SyncedEvent};
use livestore_transport_memory::{Link, LinkConfig, MemoryTransport, Network};
use support::{batch, config, pull};
use tokio::time::sleep;

const EVENTS_PER_CLIENT: u64 = 15;
const CLIENTS: [&str; 3] = ["alice", "bob", "carol"];

/// Pushes the client's events one by one, each on top of the head that the backend names.
async fn push_all(retry: &Retry<MemoryTransport>, client: &str) {
    let mut head = GlobalSeq::ROOT;
    for n in 0..EVENTS_PER_CLIENT {
        loop {
            let mut push = batch(head.0, 1);
            push.events[0].client_id = ClientId::new(client).unwrap();
            push.events[0].args = Args::from_value(&n).unwrap();
            match retry.push(push).await {
                Ok(ack) => head = ack.cursor.after,
                Err(PushError::UpstreamAhead { head: upstream, .. }) => {
                    head = upstream;
                    continue;
                }
                Err(error) => panic!("{client}: {error:?}"),
            }
            break;
        }
    }
}

/// Everything that a live pull delivers up to the last event of all clients.
async fn follow(retry: &Retry<MemoryTransport>) -> Vec<u64> {
    let mut pages = retry.pull(pull(PullMode::Live));
    support::take(&mut pages, EVENTS_PER_CLIENT as usize * CLIENTS.len()).await
}

/// Cuts, silences and heals a link over and over, and leaves it healed.
async fn disturb(link: Link, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    for _ in 0..20 {
        sleep(Duration::from_millis(chance.u64(0..1_500))).await;
        match chance.u8(0..4) {
            0 => link.partition(),
            1 => link.silence(),
            2 => link.lose_answers(),
            _ => link.heal(),
        }
    }
    link.heal();
}

async fn converges(seed: u64) {
    let network = Network::new(seed);
    network.configure(LinkConfig {
        loss: 0.05,
        duplicate: 0.1,
        reorder: 0.2,
        timeout: Duration::from_millis(700),
        ..LinkConfig::with_latency(20, 40)
    });
    let backend = MemoryBackend::new();
    let clients = CLIENTS.map(|client| {
        let transport = network.connect(Arc::new(backend.clone()), client);
        tokio::spawn(disturb(transport.link().clone(), seed ^ u64::from(client.as_bytes()[0])));
        async move {
            // Far more attempts than a fault that ends can take.
            let retry = Retry::new(transport, config(seed, 10_000));
            let ((), seen) = futures::join!(push_all(&retry, client), follow(&retry));
            seen
        }
    });
    let seen = futures::future::join_all(clients).await;

    let total = EVENTS_PER_CLIENT * CLIENTS.len() as u64;
    for (client, seen) in CLIENTS.iter().zip(seen) {
        assert_eq!(seen, (1..=total).collect::<Vec<_>>(), "seed {seed}: what {client} saw");
    }
    let log = support::log(&backend).await;
    for client in CLIENTS {
        let of_client = |event: &&SyncedEvent| event.client_id.as_str() == client;
        let args: Vec<u64> =
            log.iter().filter(of_client).map(|event| event.args.to_value().unwrap()).collect();
        assert_eq!(args, (0..EVENTS_PER_CLIENT).collect::<Vec<_>>(), "seed {seed}: what {client} stored");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_converge_over_a_bad_network() {
    for seed in 0..40 {
        let hang = Duration::from_secs(86_400);
        tokio::time::timeout(hang, converges(seed)).await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
    }
}
