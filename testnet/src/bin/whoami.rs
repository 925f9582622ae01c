//! A small HTTP server that says who it is and who asks.
//!
//! It is the test image `whoami`: any request is answered with the host name,
//! the task (whatever `TASK…`, `SERVICE…`, `NODE…`, `SWARMLET…` variables say),
//! the addresses, and the client's address, a `Name: value` per line. It ends
//! with 0 at SIGTERM, at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);
/// How many clients are answered at the same time.
const CLIENTS: usize = 256;
const REQUEST_LIMIT: usize = 16 * 1024;
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
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    let places = Arc::new(Semaphore::new(CLIENTS));
    println!("listening on {port}");
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = serve_one(&listener, &places) => {}
        }
    }
}

/// Waits for a free place and a client, and answers in the background.
async fn serve_one(listener: &TcpListener, places: &Arc<Semaphore>) {
    let Ok(place) = Arc::clone(places).acquire_owned().await else {
        return;
    };
    if let Ok((stream, client)) = listener.accept().await {
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, answer(stream, client)).await;
            drop(place);
        });
    }
}

fn port(args: &[String]) -> Result<u16, String> {
    let usage = || "usage: whoami [--port PORT]".to_owned();
    match args {
        [] => Ok(80),
        [flag, port] if flag == "--port" => port.parse().map_err(|_| usage()),
        _ => Err(usage()),
    }
}

async fn answer(mut stream: TcpStream, client: SocketAddr) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if request.len() > REQUEST_LIMIT || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let body = describe(
        &String::from_utf8_lossy(&request),
        client,
        stream.local_addr()?,
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
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
    lines.push(format!("Server: {server}"));
    lines.push(format!("Client: {client}"));
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
    fn an_answer_names_both_ends() {
        let text = describe(
            "GET /x HTTP/1.1\r\n\r\n",
            "10.0.0.9:5".parse().unwrap(),
            "10.0.0.1:80".parse().unwrap(),
        );
        assert!(text.starts_with("Hostname: "), "{text}");
        assert!(text.contains("\nClient: 10.0.0.9:5\n"), "{text}");
        assert!(text.ends_with("Request: GET /x HTTP/1.1\n"), "{text}");
    }
}
