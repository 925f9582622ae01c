//! Fixed-width base36, the alphabet of Docker's ids and join tokens.
//!
//! A number of N bytes is always written with the same count of digits, padded with zeros, so two
//! texts are equal exactly when the numbers are: there is one spelling and no upper case.

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Why a text is not a number of the wanted width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Base36Error {
    /// The text is shorter or longer than the fixed width.
    #[error("it has {found} characters where {expected} are needed")]
    Length {
        /// Digits that the number always has.
        expected: usize,
        /// Characters that the text has.
        found: usize,
    },
    /// The text holds something other than `0-9a-z`.
    #[error("{0:?} is not one of 0-9 and a-z")]
    Digit(char),
    /// The digits spell a number that does not fit.
    #[error("the number is too large")]
    Overflow,
}

/// Writes the big-endian number `bytes` with exactly `digits` digits.
///
/// `digits` must be wide enough for any value of that many bytes (25 for 16 bytes, 50 for 32).
pub(crate) fn encode<const N: usize>(bytes: &[u8; N], digits: usize) -> String {
    let mut rest = *bytes;
    let mut text = vec![b'0'; digits];
    for slot in text.iter_mut().rev() {
        let mut remainder = 0u16;
        for byte in &mut rest {
            let value = remainder * 256 + u16::from(*byte);
            *byte = (value / 36) as u8;
            remainder = value % 36;
        }
        *slot = ALPHABET[usize::from(remainder)];
    }
    text.into_iter().map(char::from).collect()
}

/// Reads a number of `N` bytes, big-endian, from exactly `digits` digits.
pub(crate) fn decode<const N: usize>(text: &str, digits: usize) -> Result<[u8; N], Base36Error> {
    let found = text.chars().count();
    if found != digits {
        return Err(Base36Error::Length {
            expected: digits,
            found,
        });
    }
    let mut number = [0u8; N];
    for character in text.chars() {
        let mut carry = match character {
            '0'..='9' => character as u16 - '0' as u16,
            'a'..='z' => character as u16 - 'a' as u16 + 10,
            other => return Err(Base36Error::Digit(other)),
        };
        for byte in number.iter_mut().rev() {
            let value = u16::from(*byte) * 36 + carry;
            *byte = value as u8;
            carry = value >> 8;
        }
        if carry != 0 {
            return Err(Base36Error::Overflow);
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_extremes_have_the_known_spelling() {
        assert_eq!(encode(&[0; 16], 25), "0".repeat(25));
        assert_eq!(
            encode(&u128::MAX.to_be_bytes(), 25),
            "f5lxx1zz5pnorynqglhzmsp33"
        );
        assert_eq!(
            encode(&35u128.to_be_bytes(), 25),
            format!("{}z", "0".repeat(24))
        );
    }

    #[test]
    fn the_largest_number_fits_and_one_more_does_not() {
        assert_eq!(
            decode::<16>("f5lxx1zz5pnorynqglhzmsp33", 25),
            Ok([0xff; 16])
        );
        assert_eq!(
            decode::<16>("f5lxx1zz5pnorynqglhzmsp34", 25),
            Err(Base36Error::Overflow)
        );
    }

    #[test]
    fn upper_case_and_wrong_lengths_are_refused() {
        assert_eq!(
            decode::<16>("F5lxx1zz5pnorynqglhzmsp33", 25),
            Err(Base36Error::Digit('F'))
        );
        assert_eq!(
            decode::<16>("f5l", 25),
            Err(Base36Error::Length {
                expected: 25,
                found: 3
            })
        );
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(bytes: [u8; 32], id: u128) {
            prop_assert_eq!(decode::<32>(&encode(&bytes, 50), 50), Ok(bytes));
            prop_assert_eq!(decode::<16>(&encode(&id.to_be_bytes(), 25), 25), Ok(id.to_be_bytes()));
        }

        #[test]
        fn what_reads_is_spelled_only_one_way(text in "[0-9a-zA-Z]{25}") {
            if let Ok(number) = decode::<16>(&text, 25) {
                prop_assert_eq!(encode(&number, 25), text);
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = decode::<16>(&text, 25);
        }
    }
}
