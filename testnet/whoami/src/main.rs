//! A small server, over HTTP and over UDP, that says who it is and who asks.
//!
//! It is the test image `whoami`: any request or datagram is answered with the
//! host name, the task (whatever `TASK…`, `SERVICE…`, `NODE…`, `SWARMLET…`
//! variables say), the addresses, and the client's address, a `Name: value` per
//! line; `GET /ok` with `ok`, for who counts answers. At SIGTERM it takes no
//! more clients, answers those it has, and ends with 0.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);
/// How many clients are answered at the same time.
const CLIENTS: u32 = 256;
const REQUEST_LIMIT: usize = 16 * 1024;
const DATAGRAM_LIMIT: usize = 2048;
const TOLD: [&str; 4] = ["TASK", "SERVICE", "NODE", "SWARMLET"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = match port(&args) {
        Ok(port) => port,
        Err(usage) => {
            eprintln!("{usage}");
            std::process::exit(2);
        }
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Both families, where the kernel has both.
    let any = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
        Ok(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        Err(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let listener = TcpListener::bind((any, port)).await?;
    let datagrams = UdpSocket::bind((any, port)).await?;
    let places = Arc::new(Semaphore::new(CLIENTS as usize));
    let (closing, closes) = watch::channel(false);
    println!("listening on {port}");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = serve_one(&listener, &places, &closes) => {}
            () = answer_datagram(&datagrams) => {}
        }
    }
    drop(listener);
    closing.send_replace(true);
    let _ = timeout(PATIENCE, places.acquire_many(CLIENTS)).await;
    Ok(())
}

/// Waits for a free place and a client, and answers in the background.
async fn serve_one(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    closes: &watch::Receiver<bool>,
) {
    let Ok(place) = Arc::clone(places).acquire_owned().await else {
        return;
    };
    if let Ok((stream, client)) = listener.accept().await {
        let closes = closes.clone();
        tokio::spawn(async move {
            let _ = serve(stream, client, closes).await;
            drop(place);
        });
    }
}

async fn answer_datagram(socket: &UdpSocket) {
    let mut request = [0; DATAGRAM_LIMIT];
    let received = socket.recv_from(&mut request).await;
    if let (Ok((length, client)), Ok(server)) = (received, socket.local_addr()) {
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        let _ = socket
            .send_to(describe(&text, client, server).as_bytes(), client)
            .await;
    }
}

/// Answers requests until the client or this server has had enough.
async fn serve(
    mut stream: TcpStream,
    client: SocketAddr,
    mut closes: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        tokio::select! {
            read = timeout(PATIENCE, stream.read_buf(&mut request)) => match read {
                Ok(Ok(0)) | Err(_) => return Ok(()),
                Ok(read) => read?,
            },
            _ = closes.wait_for(|closing| *closing), if request.is_empty() => return Ok(()),
        };
        if request.len() > REQUEST_LIMIT {
            return Ok(());
        }
        if !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let keeps = keeps_alive(&text) && !*closes.borrow();
        answer(&mut stream, &text, client, keeps).await?;
        if !keeps {
            return stream.shutdown().await;
        }
        request.clear();
    }
}

/// HTTP/1.1 clients come again unless they say otherwise; RFC 9112, 9.3.
fn keeps_alive(request: &str) -> bool {
    let mut lines = request.lines().map(str::to_ascii_lowercase);
    let current = lines.next().is_some_and(|line| line.ends_with("http/1.1"));
    current && !lines.any(|line| line.starts_with("connection:") && line.ends_with("close"))
}

fn port(args: &[String]) -> Result<u16, String> {
    let usage = || "usage: whoami [--port PORT]".to_owned();
    match args {
        [] => Ok(80),
        [flag, port] if flag == "--port" => port.parse().map_err(|_| usage()),
        _ => Err(usage()),
    }
}

async fn answer(
    stream: &mut TcpStream,
    request: &str,
    client: SocketAddr,
    keeps: bool,
) -> std::io::Result<()> {
    let body = if request.starts_with("GET /ok ") {
        "ok\n".to_owned()
    } else {
        describe(request, client, stream.local_addr()?)
    };
    let next = if keeps { "keep-alive" } else { "close" };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {next}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await
}

fn describe(request: &str, client: SocketAddr, server: SocketAddr) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut lines = vec![format!(
        "Hostname: {}",
        read("/proc/sys/kernel/hostname").trim()
    )];
    let mut told: Vec<String> = std::env::vars()
        .filter(|(name, _)| TOLD.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    told.sort();
    lines.extend(told);
    let local = local_addresses(&read("/proc/net/fib_trie"));
    lines.extend(local.iter().map(|ip| format!("IP: {ip}")));
    // An address of either family reads as what it is, not as mapped into IPv6.
    let plain = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    lines.push(format!("Server: {}", plain(server)));
    lines.push(format!("Client: {}", plain(client)));
    lines.push(format!("Request: {}", request.lines().next().unwrap_or("")));
    lines.join("\n") + "\n"
}

/// Addresses whose entry in the kernel's table says `/32 host LOCAL`.
fn local_addresses(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in fib_trie.lines() {
        if let Some(leaf) = line.trim().strip_prefix("|-- ") {
            last = leaf.parse().ok();
        } else if line.contains("/32 host LOCAL") {
            found.extend(last);
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_80_unless_told_otherwise() {
        let args = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(port(&[]), Ok(80));
        assert_eq!(port(&args(&["--port", "8080"])), Ok(8080));
        assert!(port(&args(&["--port", "x"])).is_err());
        assert!(port(&args(&["--help"])).is_err());
    }

    #[test]
    fn only_own_addresses_are_told() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 172.17.0.0\n        /16 link UNICAST\n\
                    \x20    |-- 172.17.0.2\n        /32 host LOCAL\nLocal:\n     |-- 127.0.0.1\n\
                    \x20       /32 host LOCAL\n     |-- 172.17.0.2\n        /32 host LOCAL\n";
        let expected = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(172, 17, 0, 2)];
        assert_eq!(local_addresses(trie), expected);
    }

    #[test]
    fn a_connection_is_kept_as_the_client_asks() {
        assert!(keeps_alive("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(!keeps_alive("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert!(!keeps_alive("GET / HTTP/1.0\r\n\r\n"));
    }

    #[test]
    fn an_answer_names_both_ends() {
        let text = describe(
            "GET /x HTTP/1.1\r\n\r\n",
            "[::ffff:10.0.0.9]:5".parse().unwrap(),
            "10.0.0.1:80".parse().unwrap(),
        );
        assert!(text.starts_with("Hostname: "), "{text}");
        assert!(text.contains("\nClient: 10.0.0.9:5\n"), "{text}");
        assert!(text.ends_with("Request: GET /x HTTP/1.1\n"), "{text}");
    }
}
