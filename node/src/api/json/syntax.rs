//! What Go's decoder says of a text that is no JSON.
//!
//! Go names the first character that cannot be, and what it was looking for
//! (`encoding/json/scanner.go`); serde_json knows the same by other words.

use serde_json::Error;

const LITERALS: [&str; 3] = ["true", "false", "null"];

/// Why `body` could not be read, in Docker's words.
pub(super) fn refusal(error: &Error, body: &[u8]) -> String {
    if error.is_eof() {
        return "invalid JSON: unexpected EOF".into();
    }
    let text = error.to_string();
    // It ends with `at line 1 column 2`.
    let said = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(said, _)| said);
    if said == "trailing characters" {
        return "unexpected content after JSON".into();
    }
    let found = offset(error, body).and_then(|at| Some((at, *body.get(at)?)));
    let wanted = found.and_then(|(at, found)| wanted(said, &body[..at], found));
    match (found, wanted) {
        (Some((_, found)), Some(wanted)) => {
            format!("invalid JSON: invalid character {} {wanted}", quoted(found))
        }
        _ => format!("invalid JSON: {text}"),
    }
}

/// What Go looked for where it found something else.
fn wanted(said: &str, before: &[u8], found: u8) -> Option<String> {
    let wanted = match said {
        "expected value" => "looking for beginning of value",
        "trailing comma" if found == b']' => "looking for beginning of value",
        "trailing comma" | "key must be a string" => "looking for beginning of object key string",
        "expected `:`" => "after object key",
        "expected `,` or `}`" => "after object key:value pair",
        "expected `,` or `]`" => "after array element",
        "invalid number" => "in numeric literal",
        "invalid escape" => "in string escape code",
        "expected ident" => return literal(before),
        said if said.starts_with("control character") => "in string literal",
        _ => return None,
    };
    Some(wanted.into())
}

/// Of `tru`: the literal that was begun, and what should have come.
fn literal(before: &[u8]) -> Option<String> {
    let begun = LITERALS.iter().find_map(|literal| {
        let mut parts = (1..literal.len()).rev();
        let end = parts.find(|end| before.ends_with(&literal.as_bytes()[..*end]))?;
        Some((literal, char::from(literal.as_bytes()[end])))
    });
    let (literal, next) = begun?;
    Some(format!("in literal {literal} (expecting '{next}')"))
}

/// Where in `body` the error is: its columns count bytes, up to and with the
/// one that is wrong.
fn offset(error: &Error, body: &[u8]) -> Option<usize> {
    let mut lines = body.split(|byte| *byte == b'\n');
    let before: usize = lines
        .by_ref()
        .take(error.line().checked_sub(1)?)
        .map(|line| line.len() + 1)
        .sum();
    (before + error.column()).checked_sub(1)
}

/// As Go quotes a byte, which it takes for a character.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        b'\n' => r"'\n'".into(),
        b'\r' => r"'\r'".into(),
        b'\t' => r"'\t'".into(),
        b'\\' => r"'\\'".into(),
        0..0x20 | 0x7f => format!(r"'\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!(r"'\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    fn said(body: &str) -> String {
        let error = serde_json::from_slice::<Value>(body.as_bytes()).unwrap_err();
        super::refusal(&error, body.as_bytes())
    }

    #[test]
    fn what_is_no_json_is_refused_in_gos_words() {
        for (body, wanted) in [
            ("hello", "'h' looking for beginning of value"),
            ("<xml/>", "'<' looking for beginning of value"),
            ("'a'", r"'\'' looking for beginning of value"),
            ("\u{e9}", "'\u{c3}' looking for beginning of value"),
            ("{a: 1}", "'a' looking for beginning of object key string"),
            (
                r#"{"a": 1,}"#,
                "'}' looking for beginning of object key string",
            ),
            ("[1,]", "']' looking for beginning of value"),
            (r#"{"a" 1}"#, "'1' after object key"),
            (r#"{"a": 1 "b": 2}"#, "'\"' after object key:value pair"),
            ("[1 2]", "'2' after array element"),
            ("{\"a\": \"x\ny\"}", r"'\n' in string literal"),
            (r#"{"a": "\x"}"#, "'x' in string escape code"),
            (r#"{"a": -x}"#, "'x' in numeric literal"),
            ("{\n  \"a\": trux}", "'x' in literal true (expecting 'e')"),
            ("[nil]", "'i' in literal null (expecting 'u')"),
        ] {
            assert_eq!(
                said(body),
                format!("invalid JSON: invalid character {wanted}")
            );
        }
    }

    #[test]
    fn what_ends_early_or_goes_on_is_refused_in_gos_words() {
        for body in [r#"{"Name": "we"#, "{", "[1, ", "tr", r#"{"a""#] {
            assert_eq!(said(body), "invalid JSON: unexpected EOF");
        }
        assert_eq!(said("{} x"), "unexpected content after JSON");
    }
}
