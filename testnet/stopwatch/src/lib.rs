//! How long something took, how much of that this machine had its processors, and what
//! was computed.
//!
//! A virtual machine has its processors only while its own host lends them. Time in which
//! they were elsewhere says nothing of swarmlet, so no limit is held against it.

use std::fmt::{self, Display};
use std::time::{Duration, Instant};
use std::{fs, io};

/// Kernel ticks per second in `/proc`; fixed in the Linux user ABI.
const USER_HZ: u64 = 100;

/// A point in time, and what had been stolen from each processor until then.
#[derive(Debug, Clone)]
pub struct MachineInstant {
    at: Instant,
    stolen: Vec<Duration>,
}

/// How long something took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// By the clock.
    pub wall: Duration,
    /// For so long of it the processor that was away the most was away.
    pub stolen: Duration,
}

impl MachineInstant {
    /// Nothing counts as stolen where the kernel does not tell.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self {
            at: Instant::now(),
            stolen: stolen(&stat),
        }
    }

    /// From `earlier` until this one.
    pub fn since(&self, earlier: &Self) -> Took {
        let pairs = self.stolen.iter().zip(&earlier.stolen);
        let stolen = pairs.map(|(now, then)| now.saturating_sub(*then)).max();
        let wall = self.at.saturating_duration_since(earlier.at);
        Took {
            wall,
            stolen: stolen.unwrap_or_default().min(wall),
        }
    }

    pub fn elapsed(&self) -> Took {
        Self::now().since(self)
    }
}

impl Took {
    /// What the machine had of it: what limits are held against.
    pub fn had(self) -> Duration {
        self.wall - self.stolen
    }
}

impl Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s", self.wall.as_secs_f64())?;
        if self.stolen >= Duration::from_millis(10) {
            let stolen = self.stolen.as_secs_f64();
            write!(f, " (for {stolen:.2} s of it without a processor)")?;
        }
        Ok(())
    }
}

/// What the calling thread has computed since it began.
///
/// # Errors
/// The kernel does not tell (`CONFIG_SCHED_INFO`).
pub fn computed() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos
        .map(Duration::from_nanos)
        .ok_or_else(|| io::Error::other(format!("no schedstat: {stat}")))
}

/// A time that the kernel tells in ticks.
pub const fn time_of(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / USER_HZ)
}

/// The time stolen from each processor since the start, of proc_stat(5).
fn stolen(stat: &str) -> Vec<Duration> {
    let processors = stat.lines().filter_map(|line| {
        let (name, fields) = line.split_once(' ')?;
        let number = name.strip_prefix("cpu")?;
        (!number.is_empty()).then(|| fields.split_whitespace().nth(7)?.parse().ok())?
    });
    processors.map(time_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 0 50 900 3 0 2 70 0 0\n\
                        cpu0 60 0 20 450 1 0 1 40 0 0\n\
                        cpu1 40 0 30 450 2 0 1 30 0 0\n\
                        intr 12 0 7\nctxt 99\n";

    fn at(start: Instant, ms: u64, stolen: [u64; 2]) -> MachineInstant {
        MachineInstant {
            at: start + Duration::from_millis(ms),
            stolen: stolen.map(Duration::from_millis).to_vec(),
        }
    }

    #[test]
    fn each_processor_is_read_for_itself() {
        assert_eq!(stolen(STAT), [400, 300].map(Duration::from_millis));
        assert!(stolen("").is_empty());
        assert!(stolen("cpu0 1 2 3\n").is_empty());
    }

    #[test]
    fn what_was_stolen_from_the_worst_does_not_count() {
        let start = Instant::now();
        let took = at(start, 4_500, [2_000, 300]).since(&at(start, 0, [100, 0]));
        assert_eq!(took.wall, Duration::from_millis(4_500));
        assert_eq!(took.had(), Duration::from_millis(2_600));
        assert_eq!(
            took.to_string(),
            "4.50 s (for 1.90 s of it without a processor)"
        );
    }

    #[test]
    fn no_more_is_stolen_than_there_was() {
        let start = Instant::now();
        let took = at(start, 5, [10, 10]).since(&at(start, 0, [0, 0]));
        assert_eq!(took.had(), Duration::ZERO);
        let took = at(start, 1_200, [0, 0]).since(&at(start, 0, [0, 0]));
        assert_eq!(took.to_string(), "1.20 s");
    }
}
