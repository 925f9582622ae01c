//! What the harness and a host's init say to each other: one line of JSON
//! each way over a unix socket in the host's `/run`.
//!
//! The init starts a service and reports how it ended; it never starts one
//! again by itself. A test that kills something can rely on it staying dead.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest message either side accepts, in bytes.
const LIMIT: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// What a host runs besides its init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceName {
    /// The Docker Engine (`dockerd` with a containerd of its own).
    Engine,
    /// `swarmlet daemon`.
    Daemon,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Engine => "engine",
            Self::Daemon => "daemon",
        })
    }
}

/// Signals that the harness sends to a service's own process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceSignal {
    Term,
    Kill,
    Stop,
    Cont,
}

/// Harness to init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    Status,
    Start(ServiceName),
    Signal(ServiceName, ServiceSignal),
}

/// Init to harness: how all services are after the request, or why it was
/// refused.
pub type Response = Result<Vec<ServiceReport>, String>;

/// One service as its init sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    pub service: ServiceName,
    pub state: ServiceState,
}

/// How a service is. Process numbers are those inside the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// Its program is not on this host.
    Absent,
    /// Not started since the host was booted.
    Off,
    Running {
        pid: i32,
    },
    /// Stopped by a signal, to be continued.
    Paused {
        pid: i32,
    },
    /// Ended, with its exit code or signal in words.
    Ended {
        how: String,
    },
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Off => f.write_str("off"),
            Self::Running { .. } => f.write_str("running"),
            Self::Paused { .. } => f.write_str("paused"),
            Self::Ended { how } => write!(f, "ended ({how})"),
        }
    }
}

/// Asks the init behind `socket`.
pub(crate) fn ask(socket: &Path, request: &Request) -> std::io::Result<Response> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    send(&stream, request)?;
    receive(&stream)
}

pub(crate) fn send(mut stream: &UnixStream, message: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

pub(crate) fn receive<T: for<'de> Deserialize<'de>>(stream: &UnixStream) -> std::io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LIMIT)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let (a, b) = UnixStream::pair().unwrap();
        let request = Request::Signal(ServiceName::Engine, ServiceSignal::Kill);
        send(&a, &request).unwrap();
        assert_eq!(receive::<Request>(&b).unwrap(), request);
    }

    #[test]
    fn garbage_and_endless_lines_are_refused() {
        for bytes in [&b"hello\n"[..], &[b'['; 100_000]] {
            let (mut a, b) = UnixStream::pair().unwrap();
            let writer = std::thread::spawn({
                let bytes = bytes.to_vec();
                move || {
                    let _ = a.write_all(&bytes);
                }
            });
            assert!(receive::<Request>(&b).is_err());
            drop(b);
            writer.join().unwrap();
        }
    }
}
