//! The smallest HTTP client that tests need: one request, one answer.
//!
//! It speaks HTTP/1.0, so that a server answers without chunks and closes.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::netns::Netns;

/// The longest answer that is read, in bytes.
const LIMIT: u64 = 32 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(3);
/// Of our own servers.
const ANSWER: Duration = Duration::from_secs(30);
/// Of what runs in containers.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

impl Response {
    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.body).map_err(|e| Error::Io {
            what: format!("read as JSON: {:.200}", self.body),
            source: e.into(),
        })
    }
}

/// Sends one request over the unix socket at `socket`.
pub fn over_unix(socket: &Path, method: &str, path: &str, body: &str) -> Result<Response> {
    let what = || format!("{method} {path} at {}", socket.display());
    let stream = UnixStream::connect(socket).context(what)?;
    stream.set_read_timeout(Some(ANSWER)).context(what)?;
    stream.set_write_timeout(Some(ANSWER)).context(what)?;
    exchange(stream, method, "localhost", path, body).context(what)
}

/// `GET` of `address` and `path` from a network.
pub(crate) fn get_from(network: &Netns, address: SocketAddr, path: &str) -> Result<Response> {
    network
        .enter(|| get(address, path))
        .context(|| format!("GET http://{address}{path}"))
}

/// `GET` of `address` and `path` from the calling thread's network.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<Response> {
    get_within(CONNECT, address, path)
}

/// The same by a client that tries to connect for so long.
pub fn get_within(
    patience: Duration,
    address: SocketAddr,
    path: &str,
) -> std::io::Result<Response> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(stream, "GET", &address.to_string(), path, "")
}

/// Splits `http://host[:port][/path]`.
pub(crate) fn parse_url(url: &str) -> Result<(String, u16, String)> {
    let bad = || Error::BadUrl {
        url: url.to_owned(),
        reason: "not http://HOST[:PORT][/PATH]".into(),
    };
    let rest = url.strip_prefix("http://").ok_or_else(bad)?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
        None => (authority, 80),
    };
    if host.is_empty() {
        return Err(bad());
    }
    Ok((host.to_owned(), port, path.to_owned()))
}

/// Finds a name in the text of a hosts file.
pub(crate) fn resolve(hosts_file: &str, name: &str) -> Option<IpAddr> {
    if let Ok(ip) = name.parse() {
        return Some(ip);
    }
    hosts_file
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""))
        .find_map(|line| {
            let mut words = line.split_whitespace();
            let ip = words.next()?.parse().ok()?;
            words.any(|word| word == name).then_some(ip)
        })
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    host: &str,
    path: &str,
    body: &str,
) -> std::io::Result<Response> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LIMIT).read_to_end(&mut answer)?;
    parse_answer(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "not an HTTP answer"))
}

fn parse_answer(text: &str) -> Option<Response> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Response {
        status: status.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_into_its_parts() {
        let parsed = |url| parse_url(url).unwrap();
        assert_eq!(parsed("http://h1"), ("h1".into(), 80, "/".into()));
        assert_eq!(
            parsed("http://10.99.1.2:8080/a?b=c:d"),
            ("10.99.1.2".into(), 8080, "/a?b=c:d".into())
        );
        for bad in ["https://h1", "h1", "http://", "http://h1:x"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_come_from_the_hosts_file() {
        let file = "127.0.0.1 localhost # h9\n10.99.1.2\th2 two\n";
        assert_eq!(resolve(file, "two"), "10.99.1.2".parse().ok());
        assert_eq!(resolve(file, "10.0.0.1"), "10.0.0.1".parse().ok());
        assert_eq!(resolve(file, "h9"), None);
    }

    #[test]
    fn an_answer_is_read_and_garbage_is_not() {
        let answer = parse_answer("HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n{\"x\":1}").unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json().unwrap()["x"], 1);
        assert_eq!(parse_answer("220 smtp ready\r\n\r\n"), None);
        assert_eq!(parse_answer(""), None);
    }
}
