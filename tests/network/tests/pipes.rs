//! The network itself, without client and server: what arrives when, and what does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use livestore_dial::{ByteStream, Connector};
use livestore_sim_network::{Count, Crash, End, LinkConfig, SimNetwork, SimStream, Unreachable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const LATENCY: Duration = Duration::from_millis(50);
const LINK: LinkConfig = LinkConfig { latency: LATENCY, buffer_bytes: 1_000, ..LinkConfig::IDEAL };
const LONG: Duration = Duration::from_secs(3_600);

type Near = Box<dyn ByteStream>;

struct Net {
    network: SimNetwork,
    accepted: mpsc::UnboundedReceiver<SimStream>,
}

impl Net {
    fn new(link: LinkConfig) -> Self {
        let network = SimNetwork::new(1);
        network.configure(link);
        let accepted = listen(&network);
        Self { network, accepted }
    }

    async fn dial(&self) -> std::io::Result<Near> {
        self.network.connector("client").connect("http://server".parse().unwrap()).await
    }

    async fn connect(&mut self) -> (Near, SimStream) {
        let near = self.dial().await.unwrap();
        (near, self.accepted.recv().await.unwrap())
    }
}

fn listen(network: &SimNetwork) -> mpsc::UnboundedReceiver<SimStream> {
    let (sender, accepted) = mpsc::unbounded_channel();
    network.listen("server", move |stream, _| drop(sender.send(stream)));
    accepted
}

fn error<T: std::fmt::Debug>(outcome: std::io::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

#[tokio::test(start_paused = true)]
async fn bytes_arrive_in_order_and_take_their_time() {
    let began = Instant::now();
    let jitter = Duration::from_millis(100);
    let mut net = Net::new(LinkConfig { jitter, ..LINK });
    let (mut near, mut far) = net.connect().await;
    let connected = began.elapsed();
    assert!(connected >= LATENCY * 2 && connected <= (LATENCY + jitter) * 2, "{connected:?}");
    let sent: Vec<u8> = (0..100).collect();
    let wrote = Instant::now();
    for byte in &sent {
        near.write_all(&[*byte]).await.unwrap();
    }
    near.shutdown().await.unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, sent);
    let took = wrote.elapsed();
    assert!(took >= LATENCY && took <= LATENCY + jitter + Duration::from_millis(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_overtake_each_other() {
    let mut net = Net::new(LinkConfig { jitter: Duration::from_secs(1), ..LINK });
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    let mut ends = Vec::new();
    for number in 0..10 {
        let (near, mut far) = net.connect().await;
        ends.push(near);
        let order = order.clone();
        tasks.push(tokio::spawn(async move {
            far.read_u8().await.unwrap();
            order.lock().unwrap().push(number);
        }));
    }
    for near in &mut ends {
        near.write_u8(1).await.unwrap();
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(!order.lock().unwrap().is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_stops_its_writer() {
    let mut net = Net::new(LINK);
    let (mut near, mut far) = net.connect().await;
    let sent = vec![7; LINK.buffer_bytes * 3];
    assert!(timeout(LONG, near.write_all(&sent)).await.is_err());
    assert!(net.network.counts()[&Count::BackPressure] > 0);
    let mut got = vec![0; LINK.buffer_bytes];
    far.read_exact(&mut got).await.unwrap();
    assert!(timeout(LONG, far.read_u8()).await.is_err(), "no more than the buffer was taken");
    near.write_all(&sent[..LINK.buffer_bytes]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_carries_so_many_bytes_a_second() {
    let mut net = Net::new(LinkConfig { bytes_per_second: Some(100), ..LINK });
    let (mut near, mut far) = net.connect().await;
    let began = Instant::now();
    near.write_all(&[0; 500]).await.unwrap();
    far.read_exact(&mut [0; 100]).await.unwrap();
    assert!(began.elapsed() <= LATENCY + Duration::from_millis(1_001), "the first part comes early");
    far.read_exact(&mut [0; 400]).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn in_a_partition_bytes_vanish_without_a_word() {
    let mut net = Net::new(LINK);
    let (mut near, mut far) = net.connect().await;
    near.write_u8(1).await.unwrap();
    net.network.partition("client", "server", Unreachable::Silent);
    near.write_u8(2).await.unwrap();
    assert!(timeout(LONG, far.read_u8()).await.is_err(), "what was under way is lost too");
    assert!(timeout(LONG, net.dial()).await.is_err());
    net.network.partition("client", "server", Unreachable::Refuses);
    assert_eq!(error(net.dial().await.map(drop)), ErrorKind::ConnectionRefused);
    net.network.heal("client", "server");
    assert!(timeout(LONG, far.read_u8()).await.is_err(), "an old connection stays dead");
    drop(near);
    assert!(timeout(LONG, far.read_u8()).await.is_err(), "and its end is not heard of");
    let (mut near, mut far) = net.connect().await;
    near.write_u8(3).await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn half_open_one_direction_goes_on() {
    let mut net = Net::new(LINK);
    let (mut near, mut far) = net.connect().await;
    net.network.half_open("client", "server");
    near.write_u8(1).await.unwrap();
    far.write_u8(2).await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), 2);
    assert!(timeout(LONG, far.read_u8()).await.is_err());
    // Nobody tells the writer that it was read.
    assert!(timeout(LONG, far.write_all(&vec![0; LINK.buffer_bytes])).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn parted_in_one_direction_nobody_connects() {
    let mut net = Net::new(LINK);
    let (mut near, mut far) = net.connect().await;
    net.network.partition_oneway("server", "client");
    near.write_u8(1).await.unwrap();
    far.write_u8(2).await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), 1);
    assert!(timeout(LONG, near.read_u8()).await.is_err());
    assert!(timeout(LONG, net.dial()).await.is_err());
    net.network.heal("client", "server");
    net.connect().await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_both_sides_within_what_is_under_way() {
    let mut kept = Vec::new();
    for end in [End::Reset, End::Finished].repeat(10) {
        let mut net = Net::new(LINK);
        let (mut near, mut far) = net.connect().await;
        for _ in 0..kept.len() {
            // Another seed's fate for each.
            (near, far) = net.connect().await;
        }
        near.write_all(&[1; 1_000]).await.unwrap();
        net.network.cut("client", "server", end);
        let mut got = Vec::new();
        let ended = far.read_to_end(&mut got).await;
        assert_eq!(ended.is_ok(), end == End::Finished);
        kept.push(got.len());
        assert_eq!(error(near.write_u8(1).await), ErrorKind::ConnectionReset);
        assert_eq!(error(far.write_u8(1).await), ErrorKind::ConnectionReset);
    }
    assert!(kept.iter().any(|len| (1..1_000).contains(len)), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_lost_after_its_request_was_delivered() {
    let mut net = Net::new(LINK);
    let (mut near, mut far) = net.connect().await;
    net.network.lose_answer("client", "server");
    far.write_u8(1).await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), 1, "which is no answer");
    near.write_all(b"request").await.unwrap();
    far.read_exact(&mut [0; 7]).await.unwrap();
    assert_eq!(error(far.write_all(b"answer").await), ErrorKind::ConnectionReset);
    assert_eq!(error(near.read_u8().await), ErrorKind::ConnectionReset);
    assert_eq!(net.network.counts()[&Count::LostAnswer], 1);
}

#[tokio::test(start_paused = true)]
async fn what_stands_still_goes_on() {
    let mut net = Net::new(LINK);
    let (mut near, mut far) = net.connect().await;
    let began = Instant::now();
    let still = Duration::from_secs(9);
    near.write_u8(1).await.unwrap();
    net.network.stall("client", "server", still);
    near.write_u8(2).await.unwrap();
    let reading = async {
        assert_eq!([far.read_u8().await.unwrap(), far.read_u8().await.unwrap()], [1, 2]);
        began.elapsed()
    };
    let dialing = async {
        net.dial().await.unwrap();
        began.elapsed()
    };
    for took in <[Duration; 2]>::from(tokio::join!(reading, dialing)) {
        assert!(took >= still && took < still + LATENCY * 4, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_slow_until_it_is_healed() {
    let mut net = Net::new(LINK);
    let (mut near, mut far) = net.connect().await;
    net.network.slow_reader("server", 1);
    near.write_all(&[0; 1_000]).await.unwrap();
    assert!(timeout(Duration::from_secs(100), far.read_exact(&mut [0; 1_000])).await.is_err());
    net.network.heal_all();
    assert!(timeout(LATENCY * 2, far.read_exact(&mut [0; 800])).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_healed_connection_is_as_fast_as_it_was() {
    let mut net = Net::new(LinkConfig { bytes_per_second: Some(100), ..LINK });
    let (mut near, mut far) = net.connect().await;
    // That is for connections to come.
    net.network.configure(LINK);
    net.network.slow_reader("server", 1);
    net.network.heal("client", "server");
    let began = Instant::now();
    near.write_all(&[0; 500]).await.unwrap();
    far.read_exact(&mut [0; 500]).await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_takes_all_connections_with_it() {
    for (how, is_told) in [(Crash::Process, true), (Crash::Machine, false)] {
        let mut net = Net::new(LINK);
        let (mut near, mut far) = net.connect().await;
        near.write_u8(1).await.unwrap();
        net.network.crash("server", how);
        assert_eq!(error(far.read_u8().await), ErrorKind::ConnectionReset);
        assert_eq!(error(far.write_u8(1).await), ErrorKind::ConnectionReset);
        drop(far);
        assert_eq!(timeout(LONG, near.read_u8()).await.is_ok(), is_told);
        assert_eq!(timeout(LONG, near.write_u8(1)).await.unwrap().is_err(), is_told);
        assert_eq!(timeout(LONG, net.dial()).await.is_ok(), is_told);
        net.accepted = listen(&net.network);
        net.connect().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_closes_without_reading_resets() {
    let mut net = Net::new(LINK);
    let (mut near, mut far) = net.connect().await;
    near.write_u8(1).await.unwrap();
    tokio::time::sleep(LATENCY * 2).await;
    far.write_u8(2).await.unwrap();
    drop(far);
    assert_eq!(error(near.read_u8().await), ErrorKind::ConnectionReset, "what it said last is lost");
    let (mut near, mut far) = net.connect().await;
    far.write_u8(2).await.unwrap();
    drop(far);
    assert_eq!(near.read_u8().await.unwrap(), 2);
    assert_eq!(error(near.read_u8().await), ErrorKind::UnexpectedEof);
    assert_eq!(error(near.write_u8(1).await), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_nobody_named_is_not_found() {
    let net = Net::new(LINK);
    let nowhere = net.network.connector("client").connect("http://nowhere".parse().unwrap()).await;
    assert_eq!(error(nowhere.map(drop)), ErrorKind::NotFound);
}
