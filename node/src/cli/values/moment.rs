//! A point in the past: `42m` ago, `2026-01-02T13:23:37Z`, or a Unix time.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{Invalid, Nanos, duration};

/// What the API wants: seconds since the epoch, with a fraction. A date
/// without a zone is in `zone`.
pub fn moment(text: &str, now: Timestamp, zone: &TimeZone) -> Result<String, Invalid> {
    let seconds = text.split_once('.').map_or(text, |(whole, _)| whole);
    if !text.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let time = if let Ok(Nanos(ago)) = duration(text) {
        now.checked_sub(SignedDuration::from_nanos(ago)).ok()
    } else if let Ok(time) = text.parse::<Timestamp>() {
        Some(time)
    } else {
        let local = text.parse::<DateTime>().ok();
        local.and_then(|local| zone.to_timestamp(local).ok())
    };
    match time {
        Some(time) => Ok(format!(
            "{}.{:09}",
            time.as_second(),
            time.subsec_nanosecond()
        )),
        None => Err(Invalid::new(format!(
            "invalid time {text:?}: must be like 2026-01-02T13:23:37Z, or 42m for 42 minutes ago"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_relative_absolute_or_unix_times() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let zone = TimeZone::UTC;
        for (text, wanted) in [
            ("1000s", "999000.000000000"),
            ("1970-01-02T00:00:00.5Z", "86400.500000000"),
            ("1970-01-02T00:00:00", "86400.000000000"),
            ("1970-01-02T01:00:00+01:00", "86400.000000000"),
            ("1970-01-02", "86400.000000000"),
            ("1136073600.5", "1136073600.5"),
        ] {
            assert_eq!(moment(text, now, &zone).unwrap(), wanted, "{text}");
        }
        for text in ["", "yesterday", "-5m", "12:00"] {
            assert!(moment(text, now, &zone).is_err(), "{text}");
        }
    }
}
