//! What an unquoted word of YAML is: a number, a truth value, nothing, or text.
//!
//! Owns the rules of the parser in kubectl (go.yaml.in/yaml/v2, resolve.go), which are those of YAML 1.1: `on` is true and
//! `0777` is 511. Never decides what a field should hold.

/// A word without its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    /// `~`, `null`, or nothing at all.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// A whole number that fits 64 bits, signed or not.
    Integer(i128),
    /// Any other number; also infinity and "not a number".
    Float(f64),
    /// Anything else.
    Text,
}

/// What the word is when it stands without quotes.
pub fn plain(word: &str) -> Word {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Word::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Word::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Word::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Word::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Word::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Word::Float(f64::NEG_INFINITY),
        _ if word.starts_with('.') => float(word).map_or(Word::Text, Word::Float),
        _ if word.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-') => number(&word.replace('_', "")),
        _ => Word::Text,
    }
}

fn number(digits: &str) -> Word {
    integer(digits).map(Word::Integer).or_else(|| float(digits).map(Word::Float)).unwrap_or(Word::Text)
}

/// Go's `strconv.ParseInt(digits, 0, 64)`, or `ParseUint` where that overflows: a leading zero means octal.
fn integer(digits: &str) -> Option<i128> {
    let (sign, unsigned) = match digits.as_bytes().first()? {
        b'-' => (-1, &digits[1..]),
        b'+' => (1, &digits[1..]),
        _ => (1, digits),
    };
    let (radix, body) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if !body.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = sign * i128::from_str_radix(body, radix).ok()?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, as long as it is finite.
fn float(digits: &str) -> Option<f64> {
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_mantissa = match mantissa.split_once('.') {
        None => is_number(mantissa),
        Some(("", fraction)) => is_number(fraction),
        Some((whole, fraction)) => is_number(whole) && (fraction.is_empty() || is_number(fraction)),
    };
    let is_exponent = |text: &str| is_number(text.strip_prefix(['-', '+']).unwrap_or(text));
    if !is_mantissa || !exponent.is_none_or(is_exponent) {
        return None;
    }
    digits.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_kubectl_makes_of_them() {
        let integers = [("12", 12), ("-7", -7), ("+5", 5), ("1_000", 1000), ("0777", 511), ("0o17", 15), ("0x1F", 31)];
        for (word, value) in
            integers.into_iter().chain([("0b11", 3), ("-0b11", -3), ("18446744073709551615", u64::MAX.into())])
        {
            assert_eq!(plain(word), Word::Integer(value), "{word}");
        }
        for (word, value) in [
            ("1e3", 1e3),
            ("1.", 1.0),
            (".5", 0.5),
            ("08", 8.0),
            ("-1.5E-2", -0.015),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
        ] {
            assert_eq!(plain(word), Word::Float(value), "{word}");
        }
        for (word, value) in [("on", true), ("Off", false), ("y", true), ("NO", false), ("True", true)] {
            assert_eq!(plain(word), Word::Bool(value), "{word}");
        }
        for word in ["", "~", "Null"] {
            assert_eq!(plain(word), Word::Null, "{word:?}");
        }
        for word in ["oN", "1:30", "2026-11-20", "0x", "1e", "1e400", "1.2.3", "+", ".", "..", "0b2", "1 2", "500m"] {
            assert_eq!(plain(word), Word::Text, "{word}");
        }
        assert!(matches!(plain(".nan"), Word::Float(value) if value.is_nan()));
    }
}
