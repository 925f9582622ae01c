//! Bytes of anybody's template: any at all.

use std::time::Duration;

use super::*;

/// What can be read is filled in or refused, the same each time.
fn check_any(text: &str) {
    let once = filled(text);
    assert_eq!(once, filled(text), "{text}");
    if super::super::check(text, &Secrets).is_err() {
        assert!(once.is_err(), "{text}");
    }
}

#[test]
fn no_bytes_of_a_template_do_harm() {
    bolero::check!().for_each(|input: &[u8]| check_any(&String::from_utf8_lossy(input)));
}

/// Pieces that mean something beside each other.
const PIECES: [&str; 46] = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "\n",
    ".",
    ".Service",
    ".Labels",
    ".Name",
    "$",
    "$x",
    ":=",
    "=",
    ",",
    "|",
    "(",
    ")",
    "if",
    "else",
    "end",
    "range",
    "with",
    "index",
    "print",
    "printf",
    "eq",
    "and",
    "join",
    "secret",
    "\"a\"",
    "\"%d%v\"",
    "`",
    "1",
    "-7",
    "true",
    "/*",
    "*/",
    "x",
    "ä",
    "{",
    "}",
    "{{if true}}",
    "{{end}}",
    "{{else}}",
    "{{range .Service.Labels}}",
];

#[test]
fn no_pieces_of_templates_do_harm() {
    bolero::check!()
        .with_test_time(Duration::from_secs(3))
        .for_each(|input: &[u8]| {
            // Other text among them.
            let piece = |byte: &u8| match PIECES.get(usize::from(*byte) % 50) {
                Some(piece) => (*piece).to_owned(),
                None => char::from(*byte).to_string(),
            };
            check_any(&input.iter().map(piece).collect::<String>());
        });
}
