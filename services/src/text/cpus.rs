//! Amounts of processors (`0.5`).

use super::Invalid;

/// A decimal number of processors, in billionths.
///
/// # Errors
/// That it is none, negative or too precise.
pub fn cpus(text: &str) -> Result<i64, Invalid> {
    const BILLION: i64 = 1_000_000_000;
    let invalid = || Invalid::new(format!("failed to parse {text} as a rational number"));
    if text.starts_with('-') {
        return Err(Invalid::new("the number of CPUs cannot be negative"));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return Err(invalid());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err(Invalid::new("value is too precise"));
    }
    let whole: i64 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| invalid())?,
    };
    let below_one: i64 = format!("{fraction:0<9}").parse().map_err(|_| invalid())?;
    whole
        .checked_mul(BILLION)
        .and_then(|nanos| nanos.checked_add(below_one))
        .ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_decimal_numbers() {
        for (text, wanted) in [
            ("1", 1_000_000_000),
            ("0.5", 500_000_000),
            (".25", 250_000_000),
            ("2.", 2_000_000_000),
            ("0.000000001", 1),
            ("1.5000000000000", 1_500_000_000),
        ] {
            assert_eq!(cpus(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_processors_is_refused() {
        assert_eq!(
            cpus("0.0000000001").unwrap_err().to_string(),
            "value is too precise"
        );
        assert_eq!(
            cpus("two").unwrap_err().to_string(),
            "failed to parse two as a rational number"
        );
        for text in ["", ".", "-1", "1.2.3", "99999999999999999999"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }
}
