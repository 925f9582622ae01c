//! Durations as Go writes them: `1h2m3s`, `1.5s`, `100ms`, `0`.

use std::fmt;

use super::Invalid;

const NANOSECOND: i64 = 1;
const MICROSECOND: i64 = 1_000 * NANOSECOND;
const MILLISECOND: i64 = 1_000 * MICROSECOND;
const SECOND: i64 = 1_000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A length of time in nanoseconds, the unit of Docker's API, shown as Go
/// shows a `time.Duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Nanos(pub i64);

impl Nanos {
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * SECOND)
    }
}

/// A duration that is not negative, in Go's notation.
///
/// # Errors
/// Which part of it means nothing.
pub fn duration(text: &str) -> Result<Nanos, Invalid> {
    let invalid = || Invalid::new(format!("invalid duration {text:?}"));
    if text.starts_with('-') {
        return Err(Invalid::new("duration cannot be negative"));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Nanos(0));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let part = scaled(number, unit, text)?.ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = tail;
    }
    Ok(Nanos(total))
}

/// `number` of `unit` in nanoseconds; `None` where it is no number or too
/// large.
fn scaled(number: &str, unit: &str, whole_text: &str) -> Result<Option<i64>, Invalid> {
    let unit = match unit {
        "ns" => NANOSECOND,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "" => {
            return Err(Invalid::new(format!(
                "missing unit in duration {whole_text:?} (ns, us, ms, s, m or h)"
            )));
        }
        _ => {
            return Err(Invalid::new(format!(
                "unknown unit {unit:?} in duration {whole_text:?} (ns, us, ms, s, m or h)"
            )));
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Ok(None);
    }
    let whole: i64 = match whole {
        "" => 0,
        digits => match digits.parse() {
            Ok(whole) => whole,
            Err(_) => return Ok(None),
        },
    };
    let mut place = unit;
    let mut below_one: i64 = 0;
    for digit in fraction.bytes() {
        // Each place is a tenth of the one before; the hour's last exact one
        // is far below the nanosecond that is the result's resolution.
        below_one += i64::from(digit - b'0') * place / 10;
        place /= 10;
    }
    Ok(whole
        .checked_mul(unit)
        .and_then(|nanos| nanos.checked_add(below_one)))
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let below = |unit: i64| unit.unsigned_abs();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if nanos < below(MICROSECOND) {
            return write!(f, "{nanos}ns");
        }
        if nanos < below(MILLISECOND) {
            return write!(f, "{}µs", decimal(nanos, below(MICROSECOND)));
        }
        if nanos < below(SECOND) {
            return write!(f, "{}ms", decimal(nanos, below(MILLISECOND)));
        }
        let seconds = decimal(nanos % below(MINUTE), below(SECOND));
        let minutes = nanos / below(MINUTE);
        match (minutes / 60, minutes % 60) {
            (0, 0) => write!(f, "{seconds}s"),
            (0, minutes) => write!(f, "{minutes}m{seconds}s"),
            (hours, minutes) => write!(f, "{hours}h{minutes}m{seconds}s"),
        }
    }
}

/// `nanos` in units of `unit`, without trailing zeros.
fn decimal(nanos: u64, unit: u64) -> String {
    let (whole, fraction) = (nanos / unit, nanos % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let places = unit.ilog10() as usize;
    let text = format!("{whole}.{fraction:0places$}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_gos_notation() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("5s", 5 * SECOND),
            ("1h2m3s", HOUR + 2 * MINUTE + 3 * SECOND),
            ("1.5h", 90 * MINUTE),
            (".5s", 500 * MILLISECOND),
            ("1.s", SECOND),
            ("250ms", 250 * MILLISECOND),
            ("1us2ns", 1002),
            ("3µs", 3000),
            ("+7m", 7 * MINUTE),
            ("2160h0m0s", 2160 * HOUR),
        ] {
            assert_eq!(duration(text).unwrap(), Nanos(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "invalid duration \"\""),
            ("-1s", "duration cannot be negative"),
            (
                "5",
                "missing unit in duration \"5\" (ns, us, ms, s, m or h)",
            ),
            (
                "5y",
                "unknown unit \"y\" in duration \"5y\" (ns, us, ms, s, m or h)",
            ),
            ("1.2.3s", "invalid duration \"1.2.3s\""),
            (".s", "invalid duration \".s\""),
            ("s", "invalid duration \"s\""),
            ("9999999999h", "invalid duration \"9999999999h\""),
            (
                "99999999999999999999s",
                "invalid duration \"99999999999999999999s\"",
            ),
        ] {
            assert_eq!(duration(text).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn durations_are_shown_as_go_shows_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (100 * MILLISECOND, "100ms"),
            (1_500 * MILLISECOND, "1.5s"),
            (5 * SECOND, "5s"),
            (MINUTE, "1m0s"),
            (2160 * HOUR, "2160h0m0s"),
            (HOUR + 20 * MILLISECOND, "1h0m0.02s"),
            (-SECOND, "-1s"),
        ] {
            assert_eq!(Nanos(nanos).to_string(), text);
        }
    }
}
