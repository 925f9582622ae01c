//! The small languages that values are written in, by Docker's rules, wherever
//! users write them: on the command line, in labels, in files.

mod cpus;
mod duration;
mod port;
mod words;

pub use cpus::cpus;
pub use duration::{Nanos, duration};
pub use port::{host_ip, port_range, ports};
pub use words::{Words, words};

/// A value that means nothing; its text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// `true`, `0`, `T`, … as Go reads them.
pub fn boolean(text: &str) -> Result<bool, Invalid> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Invalid::new(format!("{text:?} is neither true nor false"))),
    }
}

/// An amount of memory in bytes; `k`, `m`, `g`, `t` and `p` are powers of 1024,
/// with or without `b` or `ib` behind them.
pub fn bytes(text: &str) -> Result<i64, Invalid> {
    let invalid = || Invalid::new(format!("invalid size: '{text}'"));
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power: i32 = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(Invalid::new(format!("invalid suffix: '{unit}'"))),
    };
    if ![
        "", "b", "k", "kb", "kib", "m", "mb", "mib", "g", "gb", "gib",
    ]
    .iter()
    .chain(["t", "tb", "tib", "p", "pb", "pib"].iter())
    .any(|known| *known == unit)
    {
        return Err(Invalid::new(format!("invalid suffix: '{unit}'")));
    }
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let bytes = number * 1024_f64.powi(power);
    // 2^63 is the first float that an i64 cannot hold.
    if !bytes.is_finite() || bytes >= 9_223_372_036_854_775_808.0 {
        return Err(invalid());
    }
    Ok(bytes as i64)
}

/// The fields of one line of comma-separated values, where a field that starts
/// with `"` may hold commas (RFC 4180).
pub fn comma_fields(line: &str) -> Result<Vec<String>, Invalid> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, tail) = match rest.split_once(',') {
                Some((field, tail)) => (field, Some(tail)),
                None => (rest, None),
            };
            if field.contains('"') {
                return Err(Invalid::new(format!("bare \" in {field:?}")));
            }
            fields.push(field.to_owned());
            match tail {
                Some(tail) => rest = tail,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, tail) = quoted_field(quoted)?;
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(tail) => rest = tail,
            None if tail.is_empty() => return Ok(fields),
            None => return Err(Invalid::new(format!("extraneous text after \": {tail:?}"))),
        }
    }
}

/// The field up to its closing quote, and what follows the quote.
fn quoted_field(text: &str) -> Result<(String, &str), Invalid> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            return Err(Invalid::new("a quoted field is not closed"));
        };
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_commas_outside_of_quotes() {
        let fields = |line| comma_fields(line).unwrap();
        assert_eq!(fields("a=1,b"), ["a=1", "b"]);
        assert_eq!(
            fields(r#"a,"volume-opt=o=x,y",b"#),
            ["a", "volume-opt=o=x,y", "b"]
        );
        assert_eq!(fields(r#""say ""hi""""#), [r#"say "hi""#]);
        assert_eq!(fields("a,"), ["a", ""]);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_refused() {
        assert!(comma_fields(r#""a,b"#).is_err());
        assert!(comma_fields(r#""a"b"#).is_err());
        assert!(comma_fields(r#"a"b"#).is_err());
    }

    #[test]
    fn booleans_are_read_as_go_reads_them() {
        for (text, wanted) in [("1", true), ("T", true), ("true", true), ("False", false)] {
            assert_eq!(boolean(text).unwrap(), wanted);
        }
        assert!(boolean("yes").is_err());
    }

    #[test]
    fn memory_is_counted_in_powers_of_1024() {
        for (text, wanted) in [
            ("0", 0),
            ("512", 512),
            ("32b", 32),
            ("1k", 1024),
            ("512m", 512 << 20),
            ("512MiB", 512 << 20),
            ("1.5gb", 3 << 29),
            ("2 G", 2 << 30),
            ("1t", 1 << 40),
            ("1P", 1 << 50),
        ] {
            assert_eq!(bytes(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_of_memory_is_refused() {
        for text in [
            "", "m", "-1m", "1.2.3k", "8192p", "12x", "1bb", "1ii", "k1", "1e3",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(bytes("12x").unwrap_err().to_string(), "invalid suffix: 'x'");
    }
}
