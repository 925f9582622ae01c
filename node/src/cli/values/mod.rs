//! The small languages of flag values: durations, sizes, ports, mounts, …
//!
//! Each parser is a pure function from the text behind a flag to a value that
//! cannot be wrong, or to [`Invalid`], whose text clap shows beside the flag.
//! They accept what Docker's command line accepts, so that people's fingers
//! and scripts keep working.

mod duration;
mod file;
mod hosts;
mod image;
mod moment;
mod mount;
mod network;
mod pairs;
mod port;
mod size;
mod ulimit;
mod words;

pub use duration::{Nanos, duration};
pub use file::{FileRequest, config, secret};
pub use hosts::{ExtraHost, dns_search, extra_host, host_name, ip_address};
pub use image::{has_tag, tagged};
pub use moment::moment;
pub use mount::mount;
pub use network::{Attachment, attachment, ip, subnet};
pub use pairs::{Pair, env_file, key_of, merge_env, pair, resolve_env};
pub use port::{PortRemoval, PublishedPorts, publish, publish_removal};
pub use size::{bytes, cpus};
pub use ulimit::ulimit;
pub use words::{Words, words};

/// A flag's value that means nothing; its text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// `--flag`, `--flag=true`, `--flag=0`, … as Go's flag package reads them.
pub fn boolean(text: &str) -> Result<bool, Invalid> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Invalid::new(format!("{text:?} is neither true nor false"))),
    }
}

/// A placement preference, `spread=node.labels.zone`: what to spread over.
pub fn spread(text: &str) -> Result<String, Invalid> {
    match text.split_once('=') {
        Some(("spread", over)) if !over.contains('=') => Ok(over.to_owned()),
        Some((strategy, over)) if strategy != "spread" && !over.contains('=') => Err(Invalid::new(
            format!("unsupported placement preference {strategy} (only spread is supported)"),
        )),
        _ => Err(Invalid::new(
            "placement preference must be of the format \"<strategy>=<arg>\"",
        )),
    }
}

/// The fields of one line of comma-separated values, where a field that starts
/// with `"` may hold commas (RFC 4180).
fn comma_fields(line: &str) -> Result<Vec<String>, Invalid> {
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
    fn only_spread_is_a_placement_preference() {
        assert_eq!(
            spread("spread=node.labels.zone").unwrap(),
            "node.labels.zone"
        );
        assert_eq!(
            spread("pack=x").unwrap_err().to_string(),
            "unsupported placement preference pack (only spread is supported)"
        );
        assert_eq!(
            spread("zone").unwrap_err().to_string(),
            "placement preference must be of the format \"<strategy>=<arg>\""
        );
    }

    #[test]
    fn booleans_are_read_as_go_reads_them() {
        for (text, wanted) in [("1", true), ("T", true), ("true", true), ("False", false)] {
            assert_eq!(boolean(text).unwrap(), wanted);
        }
        assert!(boolean("yes").is_err());
    }
}
