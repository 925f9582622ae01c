//! One line of a service's log: `[timestamp ]details message`.
//!
//! The details are `key=value` pairs joined by commas, both sides escaped as
//! in a URL's query. Three of them say where the line is from.

use std::collections::BTreeMap;

use crate::cli::args::LogsArgs;
use crate::cli::view::short_id;

const NODE: &str = "com.docker.swarm.node.id";
const SERVICE: &str = "com.docker.swarm.service.id";
const TASK: &str = "com.docker.swarm.task.id";

/// The ids of where a line is from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub node: String,
    pub service: String,
    pub task: String,
}

/// A line taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    pub timestamp: Option<&'a [u8]>,
    pub origin: Origin,
    /// Those of the log driver: sorted, joined by commas.
    pub details: String,
    pub message: &'a [u8],
}

impl<'a> LogLine<'a> {
    /// `None` where the line has no origin.
    pub fn parse(line: &'a [u8], has_timestamp: bool) -> Option<Self> {
        let (timestamp, rest) = match has_timestamp {
            true => {
                let (timestamp, rest) = cut(line)?;
                (Some(timestamp), rest)
            }
            false => (None, line),
        };
        let (details, message) = cut(rest)?;
        let mut details = parse_details(std::str::from_utf8(details).ok()?)?;
        let origin = Origin {
            node: details.remove(NODE)?,
            service: details.remove(SERVICE)?,
            task: details.remove(TASK)?,
        };
        let details: Vec<String> = details.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Some(Self {
            timestamp,
            origin,
            details: details.join(","),
            message,
        })
    }
}

/// What is before the first space and what is behind it.
fn cut(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    Some((&line[..space], &line[space + 1..]))
}

fn parse_details(text: &str) -> Option<BTreeMap<String, String>> {
    text.split(',')
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((unescape(key)?, unescape(value)?))
        })
        .collect()
}

/// `+` is a space, `%XX` a byte.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// What stands before each line of a task: `web.1.abc@h1`, padded to the
/// highest slot's number of digits.
pub fn prefix(
    args: &LogsArgs,
    service: &str,
    slot: u64,
    task: &str,
    node: &str,
    highest_slot: u64,
) -> String {
    let id = match (args.no_task_ids, args.no_trunc) {
        (true, _) => String::new(),
        (false, true) => format!(".{task}"),
        (false, false) => format!(".{}", short_id(task)),
    };
    let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize;
    let padding = digits(highest_slot).saturating_sub(digits(slot));
    format!("{service}.{slot}{id}@{node}{}", " ".repeat(padding))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, ClientCommand, Command, ServiceCommand};

    const DETAILS: &str = "com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,\
                           com.docker.swarm.task.id=t";

    #[test]
    fn a_line_says_where_it_is_from() {
        let text = format!("2026-11-20T23:10:00Z b=x+y%2C,{DETAILS},a=1 hello  world\n");
        let line = LogLine::parse(text.as_bytes(), true).unwrap();
        assert_eq!(line.timestamp, Some(&b"2026-11-20T23:10:00Z"[..]));
        assert_eq!(line.message, b"hello  world\n");
        assert_eq!(line.details, "a=1,b=x y,");
        let origin = &line.origin;
        assert_eq!(
            [&origin.node, &origin.service, &origin.task],
            ["n", "s", "t"]
        );
    }

    #[test]
    fn an_empty_message_is_a_message() {
        let text = format!("{DETAILS} \n");
        let line = LogLine::parse(text.as_bytes(), false).unwrap();
        assert_eq!(line.message, b"\n");
        assert_eq!(line.timestamp, None);
    }

    #[test]
    fn a_line_without_an_origin_is_none() {
        for text in ["", "hello", "hello world", "a=%zz b", "a=%f b", "a=1 b"] {
            assert_eq!(LogLine::parse(text.as_bytes(), false), None, "{text}");
        }
        assert_eq!(LogLine::parse(b"\xff\xfe x", false), None);
    }

    fn shown(flags: &str, slot: u64) -> String {
        let line = format!("swarmlet service logs {flags} web");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Client(ClientCommand::Service(ServiceCommand::Logs(args))) = cli.command
        else {
            panic!("not logs");
        };
        prefix(&args, "web", slot, "lwem7827prymdhyjse6cvbelt", "h1", 10)
    }

    #[test]
    fn prefixes_are_as_wide_as_the_highest_slot() {
        assert_eq!(shown("", 1), "web.1.lwem7827prym@h1 ");
        assert_eq!(shown("", 10), "web.10.lwem7827prym@h1");
        assert_eq!(shown("--no-task-ids", 1), "web.1@h1 ");
        assert_eq!(
            shown("--no-trunc", 10),
            "web.10.lwem7827prymdhyjse6cvbelt@h1"
        );
    }
}
