//! Asking other servers what is not of the overlay.
//!
//! Every question goes out on a socket of its own, from a port and with an id that
//! nobody can guess, and waits for the one reply that fits. Nothing is remembered
//! but which servers were silent of late, so that they are asked last.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::Transport;
use super::resolv::{self, Upstream};
use super::server::lock;
use super::wire::Request;

/// How long one server has to reply; all attempts together are shorter than the
/// four seconds that Docker's resolver waits for us.
const PATIENCE: Duration = Duration::from_millis(1200);
const ATTEMPTS: usize = 3;
/// How long a server that was silent is asked after all others.
const AVOIDED: Duration = Duration::from_secs(10);
/// Longer than any reply that we ask for by UDP.
const MAX_DATAGRAM: usize = 4096;
/// Of a `resolv.conf`.
const MAX_FILE: u64 = 64 * 1024;
/// How often the `resolv.conf` is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Resolver {
    host: Mutex<HostFile>,
    silent: Mutex<BTreeMap<SocketAddr, Instant>>,
}

impl Resolver {
    pub fn new(host: HostFile) -> Self {
        Self {
            host: Mutex::new(host),
            silent: Mutex::default(),
        }
    }

    /// What the asker gets: the first reply that is of use, else the last failure.
    pub async fn resolve(&self, request: &Request, upstream: &Upstream) -> Vec<u8> {
        let mut servers = self.servers(upstream);
        let mut failure = request.failure(ResponseCode::ServFail);
        for attempt in 0..ATTEMPTS {
            if servers.is_empty() {
                break;
            }
            let index = attempt % servers.len();
            let server = servers[index];
            let asked = request.forwarded(rand::random());
            match timeout(PATIENCE, exchange(server, &asked, request.transport())).await {
                Ok(Ok(reply)) if Request::is_failure(&reply) => {
                    failure = request.relayed(&asked, reply);
                    servers.remove(index);
                }
                Ok(Ok(reply)) => {
                    lock(&self.silent).remove(&server);
                    return request.relayed(&asked, reply);
                }
                Ok(Err(_)) | Err(_) => {
                    lock(&self.silent).insert(server, Instant::now());
                }
            }
        }
        failure
    }

    fn servers(&self, upstream: &Upstream) -> Vec<SocketAddr> {
        let now = Instant::now();
        let mut servers = match upstream {
            Upstream::Host => lock(&self.host).servers(now),
            Upstream::Servers(servers) => servers.clone(),
            Upstream::Nobody => Vec::new(),
        };
        let mut silent = lock(&self.silent);
        silent.retain(|_, since| now.saturating_duration_since(*since) < AVOIDED);
        servers.sort_by_key(|server| silent.contains_key(server));
        servers
    }
}

async fn exchange(server: SocketAddr, asked: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
    match transport {
        Transport::Udp => by_datagram(server, asked).await,
        Transport::Tcp => by_stream(server, asked).await,
    }
}

async fn by_datagram(server: SocketAddr, asked: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // From here on the kernel drops what others send.
    socket.connect(server).await?;
    socket.send(asked).await?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let len = socket.recv(&mut buffer).await?;
        // A forged reply does not keep the true one from being heard.
        if Request::is_reply(asked, &buffer[..len]) {
            buffer.truncate(len);
            return Ok(buffer);
        }
    }
}

async fn by_stream(server: SocketAddr, asked: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&framed(asked)).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    match Request::is_reply(asked, &reply) {
        true => Ok(reply),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A message as TCP carries it, after its length (RFC 1035, 4.2.2).
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut frame = Vec::with_capacity(2 + message.len());
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&message[..usize::from(len)]);
    frame
}

/// The host's `resolv.conf`, read again once it is another.
#[derive(Debug)]
pub(super) struct HostFile {
    path: PathBuf,
    port: u16,
    /// Addresses of our own: to ask them would be to ask ourselves.
    own: Vec<IpAddr>,
    looked: Option<Instant>,
    version: Option<Version>,
    servers: Vec<SocketAddr>,
}

/// Inode, length and time of change: editors write in place, DHCP clients rename.
type Version = (u64, u64, i64, i64);

impl HostFile {
    pub fn new(path: PathBuf, port: u16, own: Vec<IpAddr>) -> Self {
        Self {
            path,
            port,
            own,
            looked: None,
            version: None,
            servers: Vec::new(),
        }
    }

    /// Those that it names now, a second late at most; none if there is no such file.
    pub fn servers(&mut self, now: Instant) -> Vec<SocketAddr> {
        let fresh = |looked: Instant| now.saturating_duration_since(looked) < LOOK;
        if self.looked.is_none_or(|looked| !fresh(looked)) {
            self.looked = Some(now);
            let version = self.look();
            if version != self.version {
                self.version = version;
                self.servers = self.read();
                tracing::debug!(servers = ?self.servers, "the host's name servers");
            }
        }
        self.servers.clone()
    }

    fn look(&self) -> Option<Version> {
        let meta = std::fs::metadata(&self.path).ok()?;
        Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    }

    fn read(&self) -> Vec<SocketAddr> {
        let mut bytes = Vec::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
        if let Err(error) = read {
            tracing::warn!(path = %self.path.display(), %error, "cannot read the host's name servers");
        }
        let found = resolv::nameservers(&String::from_utf8_lossy(&bytes));
        let others = |server: &resolv::Nameserver| {
            !(server.addr.is_unspecified() || self.own.contains(&server.addr))
        };
        let found = found.into_iter().filter(others);
        found.filter_map(|server| self.address(server)).collect()
    }

    /// `None` while a link-local server's interface is not there.
    fn address(&self, server: resolv::Nameserver) -> Option<SocketAddr> {
        match (server.addr, server.interface) {
            (IpAddr::V6(addr), Some(interface)) => {
                let scope = scope_of(&interface)?;
                Some(SocketAddrV6::new(addr, self.port, 0, scope).into())
            }
            (addr, _) => Some(SocketAddr::new(addr, self.port)),
        }
    }
}

fn scope_of(interface: &str) -> Option<u32> {
    let number = interface.parse().ok();
    number.or_else(|| {
        let socket = std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
        rustix::net::netdevice::name_to_index(&socket, interface).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, HostFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        std::fs::write(&path, text).unwrap();
        let own = vec!["169.254.1.1".parse().unwrap()];
        (dir, HostFile::new(path, 53, own))
    }

    #[test]
    fn the_hosts_servers_are_asked_but_never_ourselves() {
        let (_dir, mut host) = file("nameserver 169.254.1.1\nnameserver 192.0.2.7\n");
        assert_eq!(
            host.servers(Instant::now()),
            ["192.0.2.7:53".parse().unwrap()]
        );
    }

    #[test]
    fn another_resolv_conf_is_noticed() {
        let (dir, mut host) = file("nameserver 192.0.2.7\n");
        let start = Instant::now();
        host.servers(start);
        let new = dir.path().join("new");
        std::fs::write(&new, "nameserver 192.0.2.8\n").unwrap();
        std::fs::rename(new, dir.path().join("resolv.conf")).unwrap();
        assert_eq!(
            host.servers(start + LOOK),
            ["192.0.2.8:53".parse().unwrap()]
        );
        std::fs::remove_file(dir.path().join("resolv.conf")).unwrap();
        assert!(host.servers(start + 2 * LOOK).is_empty());
    }

    #[test]
    fn a_link_local_server_is_asked_through_its_interface() {
        let (_dir, mut host) = file("nameserver fe80::1%lo\nnameserver fe80::2%absent0\n");
        let SocketAddr::V6(server) = host.servers(Instant::now())[0] else {
            panic!("not IPv6");
        };
        assert_eq!(server.scope_id(), 1);
        assert_eq!(host.servers(Instant::now()).len(), 1);
    }

    #[test]
    fn a_silent_server_is_asked_after_the_others() {
        let (_dir, host) = file("nameserver 192.0.2.7\nnameserver 192.0.2.8\n");
        let resolver = Resolver::new(host);
        let first = resolver.servers(&Upstream::Host)[0];
        lock(&resolver.silent).insert(first, Instant::now());
        assert_eq!(resolver.servers(&Upstream::Host)[1], first);
    }
}
