//! Files of environment variables, in the syntax of the Compose specification:
//! `NAME=value`, quotes, comments, variables in values; and Docker's own, in
//! which a line is taken as it stands.

use std::collections::BTreeMap;

use super::interpolate::interpolate;

/// Bytes of all values of a file, with their variables.
const MAX_LENGTH: usize = 4 << 20;

/// A variable and its value; `None` is that of whoever reads the file.
pub(super) type Variable = (String, Option<String>);

/// The variables of a file in their order. Values may use those before them and
/// those of `environment`, which win.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn parse(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Variable>, (usize, String)> {
    let mut variables = Vec::new();
    let mut known = environment.clone();
    let mut length = 0;
    let mut rest = text.trim_start_matches('\u{feff}');
    while !rest.is_empty() {
        let at = |why: String| {
            let before = &text[..text.len() - rest.len()];
            (1 + before.matches('\n').count(), why)
        };
        let trimmed = rest.trim_start();
        if trimmed.is_empty() {
            break;
        }
        if trimmed.len() < rest.len() {
            rest = trimmed;
            continue;
        }
        if rest.starts_with('#') {
            rest = after_line(rest);
            continue;
        }
        let (name, value) = head(rest).map_err(at)?;
        let Some(value) = value else {
            variables.push((name.to_owned(), None));
            rest = after_line(rest);
            continue;
        };
        let (value, tail) = read_value(value, &known).map_err(at)?;
        length += value.len();
        if length > MAX_LENGTH {
            return Err(at(format!("the values have more than {MAX_LENGTH} bytes")));
        }
        known
            .entry(name.to_owned())
            .or_insert_with(|| value.clone());
        variables.push((name.to_owned(), Some(value)));
        rest = tail;
    }
    Ok(variables)
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
    if name.contains(char::is_whitespace) {
        return Err(format!("the name {name:?} has white space in it"));
    }
    Ok(())
}

/// A value, and the lines after it.
fn read_value<'a>(
    text: &'a str,
    known: &BTreeMap<String, String>,
) -> Result<(String, &'a str), String> {
    let text = text.trim_start_matches([' ', '\t']);
    let expand = |text: &str| interpolate(text, known).map(|done| done.text);
    if let Some(quoted) = text.strip_prefix('\'') {
        let (value, rest) = quoted_text(quoted, '\'')?;
        return Ok((value.replace("\\'", "'"), rest));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted_text(quoted, '"')?;
        return Ok((expand(&unescaped(value))?, rest));
    }
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let line = match line.starts_with('#') {
        true => "",
        false => line.split_once(" #").map_or(line, |(value, _)| value),
    };
    Ok((expand(line.trim())?, rest))
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
                return Err(format!("{line:?} stands behind a quote that is closed"));
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
        parse(
            text,
            &BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]),
        )
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
            ("A=#c", "A="),
            ("A=", "A="),
            ("A", "A=<none>"),
            ("A: b", "A=b"),
            ("export A=1\r\n", "A=1"),
            ("A='$HOME \\' x' # y", "A=$HOME ' x"),
            ("A=\"$HOME\\n\\\"x\\\"\"", "A=/root\n\"x\""),
            ("A=\"\\$HOME\"", "A=$HOME"),
            ("A='one\ntwo'", "A=one\ntwo"),
            ("A=${HOME}/x", "A=/root/x"),
            ("A=${NO:-d}", "A=d"),
            ("\u{feff}# c\n\n A=1", "A=1"),
        ] {
            assert_eq!(one(text), wanted, "{text}");
        }
        let later = read("A=1\nB=$A\nHOME=/x\nC=$HOME").unwrap();
        assert_eq!(later[1].1.as_deref(), Some("1"));
        assert_eq!(later[3].1.as_deref(), Some("/root"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, why) in [
            ("A=1\n=2", 2, "there is no name before the \"=\""),
            ("A B=1", 1, "the name \"A B\" has white space in it"),
            ("A=1\n\nB='x", 3, "a ' is not closed"),
            ("A=\"x\" y", 1, "\"y\" stands behind a quote that is closed"),
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
