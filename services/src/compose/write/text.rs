//! YAML as text, in blocks.

use std::fmt::Write;

use super::super::node::{Entry, Node, Value};

pub(super) enum Yaml {
    /// With its quotes, if it needs them.
    Scalar(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Yaml {
    /// A text that the loader reads again as this one, its variables apart.
    pub fn text(text: &str) -> Self {
        Self::Scalar(quoted(&text.replace('$', "$$")))
    }

    pub fn plain(value: impl ToString) -> Self {
        Self::Scalar(value.to_string())
    }

    pub fn null() -> Self {
        Self::Scalar("null".to_owned())
    }
}

impl From<&Node> for Yaml {
    fn from(node: &Node) -> Self {
        match &node.value {
            Value::Scalar(scalar) if scalar.is_null() => Self::null(),
            Value::Scalar(scalar) if scalar.is_plain && is_number(&scalar.text) => {
                Self::plain(&scalar.text)
            }
            Value::Scalar(scalar) => Self::Scalar(quoted(&scalar.text)),
            Value::List(list) => Self::List(list.iter().map(Self::from).collect()),
            Value::Map(map) => {
                let entries = map.iter();
                let entry =
                    |(name, entry): (&String, &Entry)| (name.clone(), Self::from(&entry.node));
                Self::Map(entries.map(entry).collect())
            }
        }
    }
}

/// Or a truth: what quotes would change.
fn is_number(text: &str) -> bool {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    matches!(text, "true" | "false") || (!text.is_empty() && text.chars().all(digits))
}

pub(super) fn render(yaml: &Yaml) -> String {
    let mut out = String::new();
    block(yaml, 0, &mut out);
    out
}

const STEP: &str = "  ";
/// Characters of a key, its quotes included, that YAML lets stand before a `:`
/// without a `?`.
const MAX_IMPLICIT_KEY: usize = 1024;

/// Writes the lines of a value.
fn block(yaml: &Yaml, depth: usize, out: &mut String) {
    match yaml {
        Yaml::Scalar(text) => {
            let _ = writeln!(out, "{text}");
        }
        Yaml::List(list) if list.is_empty() => out.push_str("[]\n"),
        Yaml::Map(map) if map.is_empty() => out.push_str("{}\n"),
        Yaml::List(list) => {
            for (at, value) in list.iter().enumerate() {
                indent(at, depth, out);
                out.push_str("- ");
                block(value, depth + 1, out);
            }
        }
        Yaml::Map(map) => {
            for (at, (name, value)) in map.iter().enumerate() {
                indent(at, depth, out);
                let name = quoted(name);
                if name.chars().count() > MAX_IMPLICIT_KEY {
                    out.push_str("? ");
                    out.push_str(&name);
                    out.push('\n');
                    out.push_str(&STEP.repeat(depth));
                } else {
                    out.push_str(&name);
                }
                out.push(':');
                let is_nested = match value {
                    Yaml::Scalar(_) => false,
                    Yaml::List(list) => !list.is_empty(),
                    Yaml::Map(map) => !map.is_empty(),
                };
                match is_nested {
                    true => {
                        out.push('\n');
                        out.push_str(&STEP.repeat(depth + 1));
                        block(value, depth + 1, out);
                    }
                    false => {
                        out.push(' ');
                        block(value, depth + 1, out);
                    }
                }
            }
        }
    }
}

/// The first line of a block stands where its owner left off.
fn indent(at: usize, depth: usize, out: &mut String) {
    if at > 0 {
        out.push_str(&STEP.repeat(depth));
    }
}

/// Without quotes only where no version of YAML could read something else.
fn quoted(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_other = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if starts && !is_other && text.chars().all(word) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || is_break(c) => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What YAML takes for the end of a line, or for nothing.
fn is_break(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_go_without_quotes() {
        for (text, wanted) in [
            ("nginx", "nginx"),
            ("/var/lib-x/a.b", "/var/lib-x/a.b"),
            ("true", "\"true\""),
            ("80", "\"80\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("a\"\n\u{85}", "\"a\\\"\\n\\U00000085\""),
        ] {
            assert_eq!(quoted(text), wanted);
        }
    }
}
