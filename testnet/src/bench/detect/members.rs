//! Watching what every daemon believes: its own list of members is asked for
//! over its socket again and again, on a connection that is kept, so that the
//! watching costs the machine little.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;
use swarmlet_testnet::Host;

use super::sightings::Log;

const SOCKET: &str = "/run/swarmlet/swarmlet.sock";
const REQUEST: &[u8] = b"GET /swarmlet/members HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ANSWER: Duration = Duration::from_secs(10);
/// Of a host without power or daemon.
const AGAIN: Duration = Duration::from_millis(200);
const LIMIT: u64 = 1 << 20;

/// Looks at every host until it is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// As far as it is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    hostname: String,
    state: String,
}

impl Watch {
    /// Notes in `log` what the daemons of `hosts` say, asking each `every` so often.
    pub fn begin(hosts: &[Host], log: &Arc<Log>, every: Duration) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let names: Vec<String> = hosts.iter().map(|host| host.name().to_owned()).collect();
        let threads = hosts.iter().cloned().enumerate().map(|(observer, host)| {
            let (stop, log, names) = (stop.clone(), log.clone(), names.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // It ends with the daemon that it asks; the next one is asked then.
                    let _ = look(&host, every, &stop, |member| {
                        let subject = names.iter().position(|name| *name == member.hostname);
                        if let Some(subject) = subject {
                            log.note(observer, subject, member.state == "dead");
                        }
                    });
                    thread::sleep(AGAIN);
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn look(
    host: &Host,
    every: Duration,
    stop: &AtomicBool,
    mut note: impl FnMut(&Member),
) -> io::Result<()> {
    let path = host.path(SOCKET).map_err(io::Error::other)?;
    let mut stream = BufReader::new(UnixStream::connect(path)?);
    stream.get_ref().set_read_timeout(Some(ANSWER))?;
    while !stop.load(Ordering::Relaxed) {
        let next = Instant::now() + every;
        stream.get_mut().write_all(REQUEST)?;
        let body = read_answer(&mut stream)?;
        let members: Vec<Member> = serde_json::from_slice(&body)?;
        members.iter().for_each(&mut note);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// The body of an HTTP/1.1 answer that says how long it is.
fn read_answer(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut length = None;
    let mut status = String::new();
    stream.take(LIMIT).read_line(&mut status)?;
    if !status.starts_with("HTTP/1.1 200 ") {
        return Err(bad(format!("answered {status:?}")));
    }
    loop {
        let mut line = String::new();
        stream.take(LIMIT).read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let length = length.filter(|length| *length <= LIMIT);
    let length = length.ok_or_else(|| bad("does not say how long it is".into()))?;
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_on_a_kept_connection_are_told_apart() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
        let mut stream = io::Cursor::new([&answer[..], answer].concat());
        assert_eq!(read_answer(&mut stream).unwrap(), b"[]");
        assert_eq!(read_answer(&mut stream).unwrap(), b"[]");
        assert!(read_answer(&mut stream).is_err());
    }

    #[test]
    fn refusals_and_answers_without_a_length_are_errors() {
        for answer in [
            "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(
                read_answer(&mut io::Cursor::new(answer)).is_err(),
                "{answer}"
            );
        }
    }
}
