//! Amounts of memory (`512m`, `1.5GiB`) and of processors (`0.5`).

use super::Invalid;

/// An amount of memory in bytes; `k`, `m`, `g`, `t` and `p` are powers of 1024,
/// with or without `b` or `ib` behind them.
pub fn bytes(text: &str) -> Result<i64, Invalid> {
    let invalid = || Invalid::new(format!("invalid size: '{text}'"));
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power: i32 = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(Invalid::new(format!("invalid suffix: '{unit}'"))),
    };
    if ![
        "", "b", "k", "kb", "kib", "m", "mb", "mib", "g", "gb", "gib",
    ]
    .iter()
    .chain(["t", "tb", "tib", "p", "pb", "pib"].iter())
    .any(|known| *known == unit)
    {
        return Err(Invalid::new(format!("invalid suffix: '{unit}'")));
    }
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let bytes = number * 1024_f64.powi(power);
    // 2^63 is the first float that an i64 cannot hold.
    if !bytes.is_finite() || bytes >= 9_223_372_036_854_775_808.0 {
        return Err(invalid());
    }
    Ok(bytes as i64)
}

/// A decimal number of processors, in billionths.
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
    fn memory_is_counted_in_powers_of_1024() {
        for (text, wanted) in [
            ("0", 0),
            ("512", 512),
            ("32b", 32),
            ("1k", 1024),
            ("512m", 512 << 20),
            ("512MiB", 512 << 20),
            ("1.5gb", 3 << 29),
            ("2 G", 2 << 30),
            ("1t", 1 << 40),
            ("1P", 1 << 50),
        ] {
            assert_eq!(bytes(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_of_memory_is_refused() {
        for text in [
            "", "m", "-1m", "1.2.3k", "8192p", "12x", "1bb", "1ii", "k1", "1e3",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(bytes("12x").unwrap_err().to_string(), "invalid suffix: 'x'");
    }

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
