//! `key=value` pairs, environment variables and files of them.

use super::Invalid;

/// `key=value`; a `key` alone has the empty value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub key: String,
    pub value: String,
}

pub fn pair(text: &str) -> Result<Pair, Invalid> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(Invalid::new(format!("{text:?} has no key")));
    }
    Ok(Pair {
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

/// The name of the variable that `NAME=value` or `NAME` is about.
pub fn key_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(key, _)| key)
}

/// An `--env` entry as it is sent: `NAME` alone takes its value from the
/// caller's environment, and stays `NAME` where it has none.
pub fn resolve_env(entry: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    if entry.contains('=') {
        return entry.to_owned();
    }
    match lookup(entry) {
        Some(value) => format!("{entry}={value}"),
        None => entry.to_owned(),
    }
}

/// The variables in the text of an `--env-file`: one `NAME=value` a line,
/// `#` starts a comment line, and `NAME` alone is taken from the caller's
/// environment or left out.
pub fn env_file(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, Invalid> {
    let mut entries = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = key_of(line);
        if name.is_empty() {
            return Err(Invalid::new(format!("no variable name on line '{line}'")));
        }
        if name.contains(char::is_whitespace) {
            return Err(Invalid::new(format!(
                "variable '{name}' contains whitespaces"
            )));
        }
        if line.contains('=') {
            entries.push(line.to_owned());
        } else if let Some(value) = lookup(name) {
            entries.push(format!("{name}={value}"));
        }
    }
    Ok(entries)
}

/// Lays `added` over `current`: a name that is there keeps its place and gets
/// the new value.
pub fn merge_env(current: &mut Vec<String>, added: impl IntoIterator<Item = String>) {
    for entry in added {
        match current
            .iter_mut()
            .find(|known| key_of(known) == key_of(&entry))
        {
            Some(known) => *known = entry,
            None => current.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".to_owned())
    }

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        let shown = |text| pair(text).map(|p| (p.key, p.value)).unwrap();
        assert_eq!(shown("a=b=c"), ("a".into(), "b=c".into()));
        assert_eq!(shown("a"), ("a".into(), String::new()));
        assert!(pair("=b").is_err());
        assert!(pair("").is_err());
    }

    #[test]
    fn a_variable_without_a_value_is_the_callers() {
        assert_eq!(resolve_env("HOME", home), "HOME=/root");
        assert_eq!(resolve_env("HOME=", home), "HOME=");
        assert_eq!(resolve_env("NONE", home), "NONE");
    }

    #[test]
    fn an_env_file_has_a_variable_a_line() {
        let text = "\u{feff}A=1\n\n  # comment\n  B=x y # kept\nHOME\nNONE\r\n";
        assert_eq!(
            env_file(text, home).unwrap(),
            ["A=1", "B=x y # kept", "HOME=/root"]
        );
        assert_eq!(
            env_file("A B=1", home).unwrap_err().to_string(),
            "variable 'A B' contains whitespaces"
        );
        assert_eq!(
            env_file("=1", home).unwrap_err().to_string(),
            "no variable name on line '=1'"
        );
    }

    #[test]
    fn a_later_variable_replaces_an_earlier_one_in_its_place() {
        let mut env = vec!["A=1".to_owned(), "B=2".to_owned()];
        merge_env(
            &mut env,
            ["A=3".to_owned(), "C=4".to_owned(), "C=5".to_owned()],
        );
        assert_eq!(env, ["A=3", "B=2", "C=5"]);
    }
}
