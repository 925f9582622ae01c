//! Clients that ask and ask, while something is done to what they ask.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use swarmlet_testnet::{Netns, http_get_within};

use super::soon;

/// Between two requests of a client: load, not a benchmark.
const PAUSE: Duration = Duration::from_millis(5);
/// Long enough for the SYN to be sent again after 1 and 3 s, as a browser would.
const PATIENCE: Duration = Duration::from_secs(6);

/// Clients at work until it is stopped or dropped.
#[derive(Debug)]
pub struct Load {
    clients: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stops: AtomicBool,
    tally: Mutex<Tally>,
}

/// How their requests went.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub answered: u64,
    pub failed: Vec<Failure>,
}

#[derive(Debug, Clone)]
pub struct Failure {
    /// When it was asked.
    pub began: Instant,
    pub took: Duration,
    pub why: String,
}

impl Tally {
    pub fn all_answered(&self) -> Result<()> {
        self.ensure(|_| false)
    }

    /// At most `most` failed, and all that were asked after `known` went well.
    pub fn answered_since(&self, known: Instant, most: usize) -> Result<()> {
        ensure!(self.failed.len() <= most, "{} failed", self.failed.len());
        self.ensure(|failure| failure.began < known)
    }

    fn ensure(&self, may: impl Fn(&Failure) -> bool) -> Result<()> {
        let bad = self.failed.iter().filter(|it| !may(it));
        let bad: Vec<_> = bad.map(|it| (&it.why, it.took)).collect();
        let all = self.answered + self.failed.len() as u64;
        ensure!(bad.is_empty(), "{} of {all} failed: {bad:#?}", bad.len());
        Ok(())
    }
}

impl Load {
    /// `clients` clients in a network, each with a new connection per request.
    pub fn on(from: &Netns, server: SocketAddr, clients: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let client = || {
            let (from, shared) = (from.clone(), Arc::clone(&shared));
            thread::spawn(move || {
                let asked = from.enter(|| {
                    while !shared.stops.load(Ordering::Relaxed) {
                        shared.ask(server);
                        thread::sleep(PAUSE);
                    }
                    Ok(())
                });
                if let Err(e) = asked {
                    shared.failed(Instant::now(), e.to_string());
                }
            })
        };
        Self {
            clients: (0..clients).map(|_| client()).collect(),
            shared,
        }
    }

    /// How it went so far.
    pub fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// Waits for some more answers: that it is at work now.
    pub fn flows(&self) -> Result<()> {
        let wanted = self.tally().answered + 20;
        soon("clients to be answered", || {
            let tally = self.tally();
            ensure!(tally.answered >= wanted, "{tally:?}");
            Ok(())
        })
    }

    /// Waits for the last answers.
    pub fn stop(mut self) -> Result<Tally> {
        self.end();
        let tally = self.tally();
        let (answered, failed) = (tally.answered, tally.failed.len());
        ensure!(answered > 0, "nobody was answered: {tally:?}");
        println!("    {answered} requests were answered, {failed} were not");
        Ok(tally)
    }

    fn end(&mut self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn ask(&self, server: SocketAddr) {
        let began = Instant::now();
        let why = match http_get_within(PATIENCE, server, "/ok") {
            Ok(answer) if answer.status == 200 => {
                self.tally().answered += 1;
                return;
            }
            Ok(answer) => format!("{server}: {answer:?}"),
            Err(e) => format!("{server}: {e}"),
        };
        self.failed(began, why);
    }

    fn failed(&self, began: Instant, why: String) {
        let took = began.elapsed();
        self.tally().failed.push(Failure { began, took, why });
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
