//! A command line given as one word: `--entrypoint "sh -c 'echo hi'"`.

use super::Invalid;

/// The words of a command that was given as one value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words(pub Vec<String>);

/// Splits as a POSIX shell does, without expansions: quotes, backslashes and
/// comments.
///
/// # Errors
/// Which quote is not closed. The text is not shown: there may be a password in it.
pub fn words(text: &str) -> Result<Words, Invalid> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    let unclosed = |quote| Invalid::new(format!("a quote ({quote}) is not closed"));
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| unclosed('\''))? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| unclosed('"'))? {
                        '"' => break,
                        '\\' => word.push(chars.next().ok_or_else(|| unclosed('"'))?),
                        c => word.push(c),
                    }
                }
            }
            '\\' => {
                let escaped = chars
                    .next()
                    .ok_or_else(|| Invalid::new("there is nothing after the last backslash"))?;
                word.get_or_insert_default().push(escaped);
            }
            '#' if word.is_none() => {
                chars.by_ref().find(|c| *c == '\n');
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(Words(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_splits_it() {
        for (text, wanted) in [
            ("", &[][..]),
            ("sleep 10", &["sleep", "10"]),
            ("  sh -c  'echo  hi' ", &["sh", "-c", "echo  hi"]),
            (r#"say "a \"b\"" c\ d"#, &["say", "a \"b\"", "c d"]),
            ("a'b'\"c\"", &["abc"]),
            ("a '' b", &["a", "", "b"]),
            ("a # b", &["a"]),
            ("a#b", &["a#b"]),
        ] {
            assert_eq!(words(text).unwrap().0, wanted, "{text}");
        }
    }

    #[test]
    fn an_open_quote_is_refused() {
        for text in ["'a", "\"a", "\"a\\", "a\\"] {
            assert!(words(text).is_err(), "{text}");
        }
    }
}
