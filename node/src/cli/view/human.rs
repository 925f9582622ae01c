//! Times, amounts, ids and names for people.

use std::cmp::Ordering;
use std::time::Duration;

/// A length of time in its largest unit, as `docker ps` words it.
pub fn since(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, _, _) => "Less than a second".into(),
        (1, _, _) => "1 second".into(),
        (2..60, _, _) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".into(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// An amount of memory with four significant digits: `23.54GiB`.
pub fn bytes(amount: i64) -> String {
    let mut value = amount as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let whole_digits = if value < 10.0 {
        1
    } else if value < 100.0 {
        2
    } else if value < 1000.0 {
        3
    } else {
        4
    };
    let text = format!("{value:.*}", 4 - whole_digits);
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}

/// `ready` as `Ready`.
pub fn title(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// The first twelve characters of an id.
pub fn short_id(id: &str) -> &str {
    id.char_indices().nth(12).map_or(id, |(end, _)| &id[..end])
}

/// At most `limit` characters, the last an ellipsis where more were cut off.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

/// Orders names as people do: `web.2` before `web.10`.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = match (a.chars().next(), b.chars().next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) => (x, y),
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, rest_a) = leading_digits(a);
            let (number_b, rest_b) = leading_digits(b);
            let by_number = (number_a.len(), number_a).cmp(&(number_b.len(), number_b));
            if by_number != Ordering::Equal {
                return by_number;
            }
            (a, b) = (rest_a, rest_b);
        } else if x != y {
            return x.cmp(&y);
        } else {
            (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
        }
    }
}

/// The number that `text` begins with, without leading zeros, and the rest.
fn leading_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.trim_start_matches('0'), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_worded_as_docker_words_them() {
        const HOUR: u64 = 3600;
        for (seconds, wanted) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 1799, "About an hour"),
            (HOUR + 1800, "2 hours"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (14 * 24 * HOUR, "2 weeks"),
            (60 * 24 * HOUR, "2 months"),
            (730 * 24 * HOUR, "2 years"),
        ] {
            assert_eq!(since(Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn amounts_have_four_digits() {
        for (amount, wanted) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1 << 20, "1MiB"),
            (25_276_518_400, "23.54GiB"),
            (1_073_741_823, "1024MiB"),
        ] {
            assert_eq!(bytes(amount), wanted);
        }
    }

    #[test]
    fn names_with_numbers_are_in_the_order_of_the_numbers() {
        let mut names = ["web.10", "web.2", "db", "web.02", "web", "web.2a"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["db", "web", "web.2", "web.02", "web.2a", "web.10"]);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(shorten("no suitable nöde", 13), "no suitable …");
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(short_id("cyq1v1261ljhb7meogwv14ftk"), "cyq1v1261ljh");
        assert_eq!(short_id("web"), "web");
    }
}
