//! Where the pure code's time and ids come from.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use services::object::TaskStatus;
use services::{Id, Timestamp};

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }))
}

/// Time since this process first asked: a clock that nobody sets.
pub fn moment() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// Clocks that differ by less are taken to be the same: on the way a report
/// grows older by about as much.
const SAME: Duration = Duration::from_secs(2);

/// Brings a report from a device whose clock showed `theirs` to this device's
/// clock: delays and monitors are counted on it.
pub fn to_ours(status: &mut TaskStatus, theirs: Timestamp, ours: Timestamp) {
    let (ahead, behind) = (theirs.since(ours), ours.since(theirs));
    for at in std::iter::once(&mut status.at).chain(status.started.as_mut()) {
        if ahead > SAME {
            *at = *at - ahead;
        } else if behind > SAME {
            *at = *at + behind;
        }
    }
}

/// An unused id: 128 random bits.
pub fn random_id() -> Id {
    Id::from_u128(rand::random())
}

#[cfg(test)]
mod tests {
    use services::object::TaskState;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    #[test]
    fn a_device_that_thinks_it_is_1970_reports_in_our_time() {
        let mut status = TaskStatus::at(TaskState::Running, at(90), "started");
        status.started = Some(at(80));
        to_ours(&mut status, at(100), at(5_000));
        assert_eq!((status.at, status.started), (at(4_990), Some(at(4_980))));
        to_ours(&mut status, at(5_000), at(100));
        assert_eq!((status.at, status.started), (at(90), Some(at(80))));
    }

    #[test]
    fn the_time_on_the_way_is_no_difference_of_clocks() {
        let mut status = TaskStatus::at(TaskState::Running, at(90), "started");
        to_ours(&mut status, at(100), at(101));
        assert_eq!(status.at, at(90));
    }
}
