//! Waiting for a condition instead of for a time.

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use stopwatch::MachineInstant;

use crate::error::{Error, Result};

const POLL: Duration = Duration::from_millis(30);

/// Asks `probe` until it succeeds; its last refusal explains a timeout.
///
/// Time that was stolen from this machine is no part of the limit. The probe
/// runs at least once, and is never interrupted: one that can hang needs a limit
/// of its own.
pub fn wait_for<T, E: Display>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> std::result::Result<T, E>,
) -> Result<T> {
    let start = MachineInstant::now();
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(last) => {
                let waited = start.elapsed();
                if waited.had() >= limit {
                    return Err(Error::Timeout {
                        what: what.to_owned(),
                        waited,
                        last: format!("{last:#}"),
                    });
                }
                thread::sleep(POLL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_met_later_is_waited_for() {
        let mut calls = 0;
        let got = wait_for("three calls", Duration::from_secs(5), || {
            calls += 1;
            (calls == 3).then_some(calls).ok_or("not yet")
        });
        assert_eq!(got.unwrap(), 3);
    }

    #[test]
    fn a_timeout_says_what_was_seen_last() {
        let error = wait_for("rain", Duration::ZERO, || Err::<(), _>("a clear sky")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("for rain"), "{text}");
        assert!(text.ends_with("last seen: a clear sky"), "{text}");
    }
}
