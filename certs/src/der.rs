//! The little of DER (X.690) that is needed to take elements apart and to put them together.

const SEQUENCE: u8 = 0x30;

/// The first element, header included, and what follows it.
pub(crate) fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(bytes)?;
    bytes.split_at_checked(header.checked_add(length)?)
}

/// All elements of `bytes`, each with its header; `None` if anything else is among them.
pub(crate) fn elements(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = split_first(bytes)?;
        all.push(element);
        bytes = rest;
    }
    Some(all)
}

/// What is in an element that is a sequence.
pub(crate) fn content(element: &[u8]) -> Option<&[u8]> {
    let (header, length) = header(element)?;
    let content = element.get(header..)?;
    (element[0] == SEQUENCE && content.len() == length).then_some(content)
}

/// A sequence of these elements.
pub(crate) fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    let length = elements.iter().map(|element| element.len()).sum();
    let mut bytes = vec![SEQUENCE];
    put_length(&mut bytes, length);
    for element in elements {
        bytes.extend_from_slice(element);
    }
    bytes
}

/// A string of whole bytes.
pub(crate) fn bit_string(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x03];
    put_length(&mut bytes, content.len() + 1);
    bytes.push(0);
    bytes.extend_from_slice(content);
    bytes
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    if length < 0x80 {
        bytes.push(length as u8);
        return;
    }
    let digits = length.to_be_bytes();
    let digits = &digits[length.leading_zeros() as usize / 8..];
    bytes.push(0x80 | digits.len() as u8);
    bytes.extend_from_slice(digits);
}

/// The bytes of the header, and those that it announces. Tags of several bytes are none of ours.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let (tag, first) = (*bytes.first()?, usize::from(*bytes.get(1)?));
    if tag & 0x1f == 0x1f {
        return None;
    }
    if first < 0x80 {
        return Some((2, first));
    }
    let digits = first & 0x7f;
    if !(1..=4).contains(&digits) {
        return None;
    }
    let length = bytes.get(2..2 + digits)?;
    let length = length
        .iter()
        .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
    Some((2 + digits, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_together_comes_apart(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
        ) {
            let parts: Vec<Vec<u8>> = parts.iter().map(|part| bit_string(part)).collect();
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let whole = sequence(&parts);
            prop_assert_eq!(split_first(&whole), Some((&whole[..], &[][..])));
            prop_assert_eq!(content(&whole).and_then(elements), Some(parts));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = elements(&bytes);
            let _ = content(&bytes);
        }
    }
}
