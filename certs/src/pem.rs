//! The little of PEM (RFC 7468) that is needed here: blocks with a label, base64 in lines of 64.
//!
//! It is written out because private keys pass through it: every buffer is wiped when dropped,
//! and the text is allocated once, so that growing it leaves no copy behind.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

const LINE: usize = 64;

/// One block of the label, as text that ends with a newline.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let framing = 2 * (label.len() + "-----BEGIN -----\n".len());
    let mut text = Zeroizing::new(String::with_capacity(
        framing + body.len() + body.len() / LINE + 2,
    ));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The content of the first block with that label, or what is wrong.
pub(crate) fn decode(label: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    first(label, text).map(|(der, _)| der)
}

/// The contents of all blocks with that label, of which there is at least one.
pub(crate) fn decode_all(label: &str, text: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, &'static str> {
    let begin = format!("-----BEGIN {label}-----");
    let (der, mut rest) = first(label, text)?;
    let mut all = vec![der];
    while rest.contains(&begin) {
        let (der, after) = first(label, rest)?;
        all.push(der);
        rest = after;
    }
    Ok(all)
}

/// The first block with that label, and the text after it.
fn first<'a>(label: &str, text: &'a str) -> Result<(Zeroizing<Vec<u8>>, &'a str), &'static str> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let start = text.find(&begin).ok_or("the PEM block is missing")? + begin.len();
    let length = text[start..].find(&end).ok_or("the PEM block has no end")?;
    let (body, rest) = text[start..].split_at(length);
    let mut packed = Zeroizing::new(String::with_capacity(body.len()));
    packed.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let der = STANDARD
        .decode(packed.as_bytes())
        .map_err(|_| "the PEM block is not base64")?;
    Ok((Zeroizing::new(der), &rest[end.len()..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_reads_back(der: Vec<u8>) {
            let text = encode("PRIVATE KEY", &der);
            prop_assert_eq!(&*decode("PRIVATE KEY", &text).unwrap(), &der);
            prop_assert!(text.lines().all(|line| line.len() <= LINE));
        }

        #[test]
        fn all_that_was_written_reads_back(blocks in prop::collection::vec(any::<Vec<u8>>(), 1..4)) {
            let text: String = blocks.iter().map(|der| encode("X", der).to_string()).collect();
            let read: Vec<Vec<u8>> = decode_all("X", &text).unwrap().iter().map(|der| der.to_vec()).collect();
            prop_assert_eq!(read, blocks);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = decode_all("X", &text);
            let _ = decode("X", &text);
            let _ = decode("X", &format!("-----BEGIN X-----{text}-----END X-----"));
        }
    }

    #[test]
    fn another_label_is_not_taken() {
        let text = encode("CERTIFICATE", b"x");
        assert!(decode("PRIVATE KEY", &text).is_err());
    }
}
