//! On loopback, where all of 127.0.0.0/8 is ours: askers are the addresses of the
//! containers in `view`.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, Record, rdata::A};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::super::server::{Config, MAX_CONNECTIONS, MAX_WAITING, NameServer};
use super::super::upstream::framed;
use super::*;

/// Longer than anything takes that is to come.
const SOON: Duration = Duration::from_secs(20);
const PORT: u16 = 5354;

struct Bed {
    server: NameServer,
    at: SocketAddr,
    _dir: tempfile::TempDir,
}

/// An address of this process's own.
fn fresh() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    IpAddr::from([
        127,
        128 | (high & 0x7f),
        low,
        NEXT.fetch_add(1, Ordering::Relaxed),
    ])
}

/// `PICKY` has `own` asked, all others the server at `host`.
fn bed(own: Vec<SocketAddr>, host: IpAddr) -> Bed {
    let dir = tempfile::tempdir().unwrap();
    let resolv_conf = dir.path().join("resolv.conf");
    std::fs::write(&resolv_conf, format!("nameserver {host}\n")).unwrap();
    let at = SocketAddr::new(fresh(), PORT);
    let server = NameServer::start(Config {
        listen: vec![at],
        resolv_conf,
        upstream_port: PORT,
        idle: Duration::from_millis(300),
    });
    let server = server.unwrap();
    server.publish(zone_of(&view(), own));
    Bed {
        server,
        at,
        _dir: dir,
    }
}

impl Bed {
    async fn datagrams(&self, from: &str) -> UdpSocket {
        let socket = UdpSocket::bind((ip(from), 0)).await.unwrap();
        socket.connect(self.at).await.unwrap();
        socket
    }

    async fn ask(&self, from: &str, asked: &Message) -> Message {
        let socket = self.datagrams(from).await;
        socket.send(&asked.to_vec().unwrap()).await.unwrap();
        read(&socket).await
    }

    async fn connect(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ip(from), 0)).unwrap();
        socket.connect(self.at).await.unwrap()
    }
}

async fn read(socket: &UdpSocket) -> Message {
    let mut buffer = [0; 4096];
    let len = timeout(SOON, socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    Message::from_vec(&buffer[..len]).unwrap()
}

/// Passes over replies to earlier questions, which were asked more than once.
async fn reply_to(socket: &UdpSocket, id: u16) -> Message {
    loop {
        let reply = read(socket).await;
        if reply.metadata.id == id {
            return reply;
        }
    }
}

async fn ask_stream(stream: &mut TcpStream, asked: &Message) -> Message {
    let frame = framed(&asked.to_vec().unwrap());
    stream.write_all(&frame).await.unwrap();
    let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

/// Waits until the other side closes.
async fn closed(stream: &mut TcpStream) {
    let ended = timeout(SOON, stream.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)));
}

/// A name server elsewhere that says what `replies` returns, for one question.
async fn elsewhere(replies: fn(Message) -> Vec<Message>) -> SocketAddr {
    let at = SocketAddr::new(fresh(), PORT);
    let socket = UdpSocket::bind(at).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            for reply in replies(Message::from_vec(&buffer[..len]).unwrap()) {
                socket
                    .send_to(&reply.to_vec().unwrap(), from)
                    .await
                    .unwrap();
            }
        }
    });
    let listener = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut asked).await.unwrap();
            for reply in replies(Message::from_vec(&asked).unwrap()) {
                let frame = framed(&reply.to_vec().unwrap());
                stream.write_all(&frame).await.unwrap();
            }
        }
    });
    at
}

fn answering(asked: Message) -> Vec<Message> {
    let name = asked.queries[0].name.clone();
    let mut reply = asked.into_response();
    let data = RData::A(A("192.0.2.80".parse().unwrap()));
    reply.add_answer(Record::from_rdata(name, 60, data));
    vec![reply]
}

fn silent(_: Message) -> Vec<Message> {
    Vec::new()
}

fn failing(asked: Message) -> Vec<Message> {
    let mut reply = asked.into_response();
    reply.metadata.response_code = ResponseCode::ServFail;
    vec![reply]
}

fn forged_then_true(asked: Message) -> Vec<Message> {
    let mut forged = answering(asked.clone());
    forged[0].metadata.id ^= 1;
    forged[0].answers[0].data = RData::A(A("203.0.113.66".parse().unwrap()));
    forged.extend(answering(asked));
    forged
}

fn first(reply: &Message) -> String {
    match reply.answers.first() {
        Some(record) => record.data.to_string(),
        None => reply.metadata.response_code.to_string(),
    }
}

fn web() -> Message {
    message(1, "web", RecordType::A)
}

fn outside() -> Message {
    message(2, "example.org", RecordType::A)
}

#[tokio::test]
async fn names_are_answered_by_udp_and_tcp() {
    let bed = bed(Vec::new(), fresh());
    assert_eq!(first(&bed.ask(PLAIN, &web()).await), "127.10.1.2");
    let mut stream = bed.connect(PLAIN).await;
    for _ in 0..3 {
        assert_eq!(first(&ask_stream(&mut stream, &web()).await), "127.10.1.2");
    }
    assert_eq!(bed.server.counters().replied, 4);
}

#[tokio::test]
async fn another_zone_answers_at_once() {
    let bed = bed(Vec::new(), fresh());
    let mut view = view();
    let mut directory = (*view.directory).clone();
    let attachment = directory.services.get_mut(&10).unwrap();
    attachment.networks.get_mut(&FRONT).unwrap().vips = ips(&["127.10.1.9"]);
    view.directory = Arc::new(directory);
    bed.server.publish(zone_of(&view, Vec::new()));
    assert_eq!(first(&bed.ask(PLAIN, &web()).await), "127.10.1.9");
}

#[tokio::test]
async fn a_stranger_is_refused() {
    let bed = bed(Vec::new(), fresh());
    let reply = bed.ask("127.10.1.99", &web()).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    let mut stream = bed.connect("127.10.1.99").await;
    let reply = ask_stream(&mut stream, &web()).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn garbage_is_dropped_and_the_next_question_answered() {
    let bed = bed(Vec::new(), fresh());
    let socket = bed.datagrams(PLAIN).await;
    for len in [0, 1, 11, 12, 600] {
        socket.send(&vec![0xff; len]).await.unwrap();
    }
    socket.send(&web().to_vec().unwrap()).await.unwrap();
    assert_eq!(first(&read(&socket).await), "127.10.1.2");
    assert_eq!(bed.server.counters().dropped, 5);
}

#[tokio::test]
async fn the_hosts_servers_are_asked_for_other_names() {
    let host = elsewhere(answering).await;
    let bed = bed(Vec::new(), host.ip());
    assert_eq!(first(&bed.ask(PLAIN, &outside()).await), "192.0.2.80");
    let mut stream = bed.connect(PLAIN).await;
    assert_eq!(
        first(&ask_stream(&mut stream, &outside()).await),
        "192.0.2.80"
    );
    assert_eq!(bed.server.counters().forwarded, 2);
}

#[tokio::test]
async fn a_containers_own_servers_are_asked_instead_of_the_hosts() {
    let own = elsewhere(answering).await;
    let host = elsewhere(failing).await;
    let bed = bed(vec![own], host.ip());
    assert_eq!(first(&bed.ask(PICKY, &outside()).await), "192.0.2.80");
    let reply = bed.ask(PLAIN, &outside()).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_silent_fails_or_is_not_there() {
    let good = elsewhere(answering).await;
    let absent = SocketAddr::new(fresh(), PORT);
    for bad in [elsewhere(silent).await, elsewhere(failing).await, absent] {
        let bed = bed(vec![bad, good], fresh());
        assert_eq!(first(&bed.ask(PICKY, &outside()).await), "192.0.2.80");
        let mut stream = bed.connect(PICKY).await;
        assert_eq!(
            first(&ask_stream(&mut stream, &outside()).await),
            "192.0.2.80"
        );
    }
}

#[tokio::test]
async fn with_no_server_that_answers_the_asker_is_told_so() {
    let bed = bed(vec![elsewhere(silent).await], fresh());
    let reply = bed.ask(PICKY, &outside()).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_forged_reply_does_not_keep_the_true_one_out() {
    let bed = bed(vec![elsewhere(forged_then_true).await], fresh());
    assert_eq!(first(&bed.ask(PICKY, &outside()).await), "192.0.2.80");
}

#[tokio::test]
async fn what_is_cut_by_udp_comes_whole_by_tcp() {
    let bed = bed(Vec::new(), fresh());
    bed.server.publish(crowd(200));
    let asked = message(1, "db", RecordType::A);
    assert!(bed.ask(BOTH, &asked).await.metadata.truncation);
    let mut stream = bed.connect(BOTH).await;
    assert_eq!(ask_stream(&mut stream, &asked).await.answers.len(), 200);
}

#[tokio::test]
async fn a_storm_of_unknown_names_leaves_room_for_others() {
    const STORM: u64 = 1_000;
    let (good, host) = (elsewhere(answering).await, elsewhere(silent).await);
    let bed = bed(vec![good], host.ip());
    let storm = bed.datagrams(BOTH).await;
    for _ in 0..STORM {
        storm.send(&outside().to_vec().unwrap()).await.unwrap();
    }
    // One for which there is no room is told at once.
    let reply = read(&storm).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let all_read = async {
        while bed.server.counters().forwarded + bed.server.counters().limited < STORM {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, all_read).await.unwrap();
    assert_eq!(bed.server.counters().forwarded, MAX_WAITING as u64 / 2);
    assert_eq!(first(&bed.ask(PICKY, &outside()).await), "192.0.2.80");
    assert_eq!(first(&bed.ask(BOTH, &web()).await), "127.10.1.2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_questions_leaves_others_answered() {
    let bed = bed(Vec::new(), fresh());
    let flood = bed.datagrams(BOTH).await;
    let flooding = tokio::spawn(async move {
        let question = web().to_vec().unwrap();
        loop {
            let _ = flood.send(&question).await;
        }
    });
    let socket = bed.datagrams(PLAIN).await;
    for id in 0..100 {
        let asked = message(id, "web", RecordType::A).to_vec().unwrap();
        // As any resolver does, again when there is no reply.
        let mut tries = 0;
        loop {
            tries += 1;
            assert!(tries <= 5, "question {id} was never answered");
            socket.send(&asked).await.unwrap();
            let reply = timeout(Duration::from_secs(1), reply_to(&socket, id)).await;
            if reply.is_ok() {
                break;
            }
        }
    }
    flooding.abort();
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let bed = bed(Vec::new(), fresh());
    let mut stream = bed.connect(PLAIN).await;
    assert_eq!(first(&ask_stream(&mut stream, &web()).await), "127.10.1.2");
    closed(&mut stream).await;
}

#[tokio::test]
async fn a_question_that_comes_byte_by_byte_is_not_waited_for() {
    let bed = bed(Vec::new(), fresh());
    let (mut reader, mut writer) = bed.connect(PLAIN).await.into_split();
    let dripping = tokio::spawn(async move {
        let frame = framed(&web().to_vec().unwrap());
        for byte in frame {
            if writer.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let ended = timeout(SOON, reader.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)));
    dripping.abort();
}

#[tokio::test]
async fn a_question_that_is_too_long_ends_its_connection() {
    let bed = bed(Vec::new(), fresh());
    let mut stream = bed.connect(PLAIN).await;
    stream.write_all(&[0xff; 1024]).await.unwrap();
    closed(&mut stream).await;
}

#[tokio::test]
async fn one_asker_cannot_have_all_connections() {
    let bed = bed(Vec::new(), fresh());
    let mut held = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        held.push(bed.connect(BOTH).await);
    }
    let mut stream = bed.connect(PLAIN).await;
    assert_eq!(first(&ask_stream(&mut stream, &web()).await), "127.10.1.2");
    assert_eq!(bed.server.counters().limited, MAX_CONNECTIONS as u64 / 2);
}

#[tokio::test]
async fn after_shutdown_the_address_is_free() {
    let bed = bed(vec![elsewhere(silent).await], fresh());
    let _open = bed.connect(PLAIN).await;
    let waiting = bed.datagrams(PICKY).await;
    waiting.send(&outside().to_vec().unwrap()).await.unwrap();
    timeout(SOON, bed.server.shutdown()).await.unwrap();
    let again = NameServer::start(Config {
        listen: vec![bed.at],
        ..Config::on([])
    });
    assert!(again.is_ok());
}

#[tokio::test]
async fn an_address_that_is_not_there_yet_can_be_listened_on() {
    let at = [
        "192.0.2.1:5354".parse().unwrap(),
        "[2001:db8::1]:5354".parse().unwrap(),
    ];
    let server = NameServer::start(Config {
        listen: at.to_vec(),
        ..Config::on([])
    });
    assert!(server.is_ok());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let bed = bed(Vec::new(), fresh());
    let second = NameServer::start(Config {
        listen: vec![bed.at],
        ..Config::on([])
    });
    let error = second.unwrap_err().to_string();
    assert!(error.contains(&bed.at.to_string()), "{error}");
}
