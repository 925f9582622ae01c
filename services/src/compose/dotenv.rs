//! Files of environment variables, in the syntax of the Compose specification:
//! `NAME=value`, quotes, comments, variables in values; and Docker's own, in
//! which a line is taken as it stands.

use std::collections::{BTreeMap, BTreeSet};

use super::interpolate::{Interpolated, interpolate};
use super::yaml::MAX_KEY;

/// Bytes of all values of a file, with their variables.
const MAX_LENGTH: usize = 4 << 20;

/// A variable and its value; `None` is that of whoever reads the file.
pub(super) type Variable = (String, Option<String>);

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub variables: Vec<Variable>,
    /// What its values use and nobody has set, with the lines.
    pub unset: Vec<(usize, String)>,
}

/// The variables of a file in their order. Values may use those before them and
/// those of `environment`, which win.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn parse<'e>(
    text: &str,
    environment: impl Fn(&str) -> Option<&'e str>,
) -> Result<Parsed, (usize, String)> {
    let mut parsed = Parsed::default();
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    let mut length = 0;
    let mut line = 1;
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        let entry = rest.trim_start();
        line += line_ends(rest, entry);
        if entry.is_empty() {
            return Ok(parsed);
        }
        rest = after_line(entry);
        if !entry.starts_with('#') {
            let at = |why: String| (line, why);
            let (name, value) = head(entry).map_err(at)?;
            let value = match value {
                None => None,
                Some(value) => {
                    let known = |name: &str| {
                        let own = || own.get(name).map(String::as_str);
                        environment(name).or_else(own)
                    };
                    let (done, tail) = read_value(value, known).map_err(at)?;
                    rest = tail;
                    length += done.text.len();
                    if length > MAX_LENGTH {
                        let text = format!("the values have more than {MAX_LENGTH} bytes");
                        return Err(at(text));
                    }
                    parsed
                        .unset
                        .extend(done.unset.into_iter().map(|name| (line, name)));
                    own.insert(name.to_owned(), done.text.clone());
                    Some(done.text)
                }
            };
            parsed.variables.push((name.to_owned(), value));
        }
        line += line_ends(entry, rest);
    }
}

/// In what of `text` is before `rest`, its end.
fn line_ends(text: &str, rest: &str) -> usize {
    text[..text.len() - rest.len()].matches('\n').count()
}

/// Docker's syntax: what is behind the first `=` is the value, quotes and all.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn parse_raw(text: &str) -> Result<Vec<Variable>, (usize, String)> {
    let mut variables = Vec::new();
    let lines = text.trim_start_matches('\u{feff}').lines();
    for (at, line) in lines.enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line, None),
        };
        check_name(name).map_err(|why| (at + 1, why))?;
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// The name, and what stands behind its `=`.
fn head(text: &str) -> Result<(&str, Option<&str>), String> {
    let end = text.find('\n').unwrap_or(text.len());
    let exported = text.strip_prefix("export ").unwrap_or(text);
    let end = end - (text.len() - exported.len());
    let (line, _) = exported.split_at(end);
    let (name, value) = match line.find(['=', ':']) {
        Some(at) => (&line[..at], Some(&exported[at + 1..])),
        None => (line.split_once(" #").map_or(line, |(name, _)| name), None),
    };
    let name = name.trim();
    check_name(name)?;
    Ok((name, value))
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("there is no name before the \"=\"".to_owned());
    }
    if name.len() > MAX_KEY {
        return Err(format!("a name has at most {MAX_KEY} bytes"));
    }
    if name.contains(char::is_whitespace) {
        // Not shown: it may be a secret without its name.
        return Err("the name before the \"=\" has white space in it".to_owned());
    }
    Ok(())
}

/// A value, and the lines after it.
fn read_value<'a, 'k>(
    text: &'a str,
    known: impl Fn(&str) -> Option<&'k str>,
) -> Result<(Interpolated, &'a str), String> {
    let start = text.trim_start_matches([' ', '\t']);
    if let Some(quoted) = start.strip_prefix('\'') {
        let (value, rest) = quoted_text(quoted, '\'')?;
        let text = value.replace("\\'", "'");
        let unset = BTreeSet::new();
        return Ok((Interpolated { text, unset }, rest));
    }
    if let Some(quoted) = start.strip_prefix('"') {
        let (value, rest) = quoted_text(quoted, '"')?;
        return Ok((interpolate(&unescaped(value), known)?, rest));
    }
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let comment = [" #", "\t#"].iter().filter_map(|it| line.find(it)).min();
    let value = comment.map_or(line, |at| &line[..at]);
    Ok((interpolate(value.trim(), known)?, rest))
}

/// Up to the closing quote, and the lines after that.
fn quoted_text(text: &str, quote: char) -> Result<(&str, &str), String> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !is_escaped {
            let behind = &text[at + 1..];
            let (line, rest) = behind.split_once('\n').unwrap_or((behind, ""));
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                return Err(format!("there is something behind the closing {quote}"));
            }
            return Ok((&text[..at], rest));
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    Err(format!("a {quote} is not closed"))
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            // Kept from the interpolation, which knows it by its double.
            Some('$') => out.push_str("$$"),
            Some(c @ ('"' | '\\' | '\'')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Variable>, (usize, String)> {
        let home = |name: &str| (name == "HOME").then_some("/home/eve");
        parse(text, home).map(|parsed| parsed.variables)
    }

    fn one(text: &str) -> String {
        let variables = read(text).unwrap();
        assert_eq!(variables.len(), 1, "{text}");
        format!(
            "{}={}",
            variables[0].0,
            variables[0].1.as_deref().unwrap_or("<none>")
        )
    }

    #[test]
    fn values_are_read_as_the_specification_says() {
        for (text, wanted) in [
            ("A=1", "A=1"),
            ("  A = b c  # comment", "A=b c"),
            ("A=b#c", "A=b#c"),
            ("A=#c", "A=#c"),
            ("A= # c", "A="),
            ("A=b\t# c", "A=b"),
            ("A=", "A="),
            ("A", "A=<none>"),
            ("A: b", "A=b"),
            ("export A=1\r\n", "A=1"),
            ("A='$HOME \\' x' # y", "A=$HOME ' x"),
            ("A=\"$HOME\\n\\\"x\\\"\"", "A=/home/eve\n\"x\""),
            ("A=\"\\$HOME\"", "A=$HOME"),
            ("A='one\ntwo'", "A=one\ntwo"),
            ("A=${HOME}/x", "A=/home/eve/x"),
            ("A=${NO:-d}", "A=d"),
            ("\u{feff}# c\n\n A=1", "A=1"),
        ] {
            assert_eq!(one(text), wanted, "{text}");
        }
        let unset = parse("A=1\n\nB=$NO ${A}", |_| None).unwrap().unset;
        assert_eq!(unset, [(3, "NO".to_owned())]);
        let later = read("A=1\nB=$A\nHOME=/x\nC=$HOME").unwrap();
        assert_eq!(later[1].1.as_deref(), Some("1"));
        assert_eq!(later[3].1.as_deref(), Some("/home/eve"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, why) in [
            ("A=1\n=2", 2, "there is no name before the \"=\""),
            (
                "A B=1",
                1,
                "the name before the \"=\" has white space in it",
            ),
            ("A=1\n\nB='x", 3, "a ' is not closed"),
            ("A=\"x\" y", 1, "there is something behind the closing \""),
        ] {
            assert_eq!(read(text), Err((line, why.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_raw_file_is_taken_as_it_stands() {
        let raw = parse_raw("A=\"x\" # y\n# c\nB\n").unwrap();
        assert_eq!(
            raw,
            [("A".into(), Some("\"x\" # y".into())), ("B".into(), None)]
        );
        assert!(parse_raw("A B=1").is_err());
    }
}
