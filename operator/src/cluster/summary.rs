//! Texts of the printer columns.
//!
//! Owns how a figure is written for a person. A figure that is not known is a dash.

/// What stands for a figure that is not known.
pub const UNKNOWN: &str = "-";
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A duration in its two largest units, as kubectl writes an age: `41m`, `3h12m`, `2d4h`.
pub fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / DAY, seconds % DAY / HOUR, seconds % HOUR / MINUTE);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

/// A share of a whole in percent, never 100 before the whole is done.
pub fn percent(done: u64, whole: u64) -> u32 {
    let share = u128::from(done.min(whole)) * 100 / u128::from(whole.max(1));
    u32::try_from(share).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_two_units() {
        let of = |seconds| duration(seconds);
        assert_eq!([of(0), of(59), of(61), of(HOUR), of(DAY + 5 * HOUR)], ["0s", "59s", "1m", "1h0m", "1d5h"]);
    }

    #[test]
    fn the_last_step_alone_makes_a_hundred_percent() {
        assert_eq!(
            [percent(0, 0), percent(999, 1000), percent(1000, 1000), percent(u64::MAX, u64::MAX)],
            [0, 99, 100, 100]
        );
    }
}
