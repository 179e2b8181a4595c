//! Numbers as people read them: counts, sizes, durations, rates.
//!
//! Pure text; used alike by the terminal and the report.

use std::{collections::BTreeMap, time::Duration};

/// `1,234,567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `hidden file: 3, zip archive: 1`; empty where nothing was left out.
pub fn left_out(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(what, many)| format!("{what}: {}", count(*many))).collect::<Vec<_>>().join(", ")
}

/// `12.3k`, `4.56M`; three figures, for rates and parameters.
pub fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999.5e6 => (value / 1e9, "B"),
        size if size >= 999.5e3 => (value / 1e6, "M"),
        size if size >= 999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{}{unit}", three_figures(scaled))
}

/// `41.2 MB`, in powers of 1000 as disks are sold.
pub fn bytes(value: u64) -> String {
    let (scaled, unit) = match value {
        0..1_000 => return format!("{value} B"),
        1_000..1_000_000 => (value as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => (value as f64 / 1e6, "MB"),
        _ => (value as f64 / 1e9, "GB"),
    };
    format!("{} {unit}", three_figures(scaled))
}

/// `0.4s`, `12s`, `3m 05s`, `2h 07m`, `3d 04h`.
pub fn duration(value: Duration) -> String {
    let seconds = value.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", value.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// [`duration`] of seconds; negative and unknown ones are zero.
pub fn seconds(value: f64) -> String {
    duration(Duration::try_from_secs_f64(value.max(0.0)).unwrap_or_default())
}

/// `3.0e-4`.
pub fn scientific(value: f64) -> String {
    format!("{value:.1e}")
}

/// The first twelve digits of a digest.
pub fn digest(value: &str) -> &str {
    value.char_indices().nth(12).map_or(value, |(end, _)| &value[..end])
}

/// Text of a worker made fit for one terminal line: control characters shown, cut to `max_chars`.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut line: String = text.chars().take(max_chars).flat_map(visible).collect();
    if text.chars().nth(max_chars).is_some() {
        line.push('…');
    }
    line
}

/// A worker must not be able to move the cursor or colour the screen.
fn visible(character: char) -> Box<dyn Iterator<Item = char>> {
    if character.is_control() { Box::new(character.escape_default()) } else { Box::new(std::iter::once(character)) }
}

fn three_figures(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_carry_their_unit() {
        assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!(
            (short(12_345.0), short(999.6), short(3_214_000.0)),
            ("12.3k".into(), "1.00k".into(), "3.21M".into())
        );
        assert_eq!((bytes(999), bytes(41_234_567), bytes(1_000)), ("999 B".into(), "41.2 MB".into(), "1.00 kB".into()));
        assert_eq!((seconds(0.42), seconds(185.0), seconds(f64::NAN)), ("0.4s".into(), "3m 05s".into(), "0.0s".into()));
        assert_eq!(scientific(0.0003), "3.0e-4");
        let counts = [("zip archive".to_owned(), 1), ("hidden file".to_owned(), 1200)].into();
        assert_eq!(left_out(&counts), "hidden file: 1,200, zip archive: 1");
    }

    #[test]
    fn foreign_text_cannot_leave_its_line() {
        assert_eq!(one_line("a\n\u{1b}[2Jb", 20), "a\\n\\u{1b}[2Jb");
        assert_eq!(one_line("äbcd", 2), "äb…");
        assert_eq!(digest("0123456789abcdef"), "0123456789ab");
    }
}
