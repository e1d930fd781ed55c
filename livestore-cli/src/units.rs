//! Counts, sizes and times as they are written on a command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
/// Longer times could overflow the clocks that they are added to, and nobody means them.
const MAX_TIME: Duration = Duration::from_secs(366 * 24 * 3600);
/// More of anything would not fit into memory.
const MAX_COUNT: usize = 1_000_000_000;

/// A text is not what an option takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidUnit(&'static str);

impl fmt::Display for InvalidUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidUnit {}

/// How many; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) usize);

impl FromStr for Count {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        match text.parse() {
            Ok(count @ 1..=MAX_COUNT) => Ok(Self(count)),
            _ => Err(InvalidUnit("expected a number from 1 to 1000000000")),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A size in bytes; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

impl ByteSize {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// As the machine addresses memory; a size beyond that is no bound at all.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let (number, unit) = split_unit(text);
        let unit = match unit {
            "" | "B" => Some(1),
            "KiB" => Some(KIB),
            "MiB" => Some(MIB),
            "GiB" => Some(GIB),
            _ => None,
        };
        let bytes = unit.zip(number).and_then(|(unit, number)| number.checked_mul(unit));
        bytes
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or(InvalidUnit("expected a size in bytes such as 64KiB, 1MiB, 2GiB or 895000"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes % GIB == 0 => write!(f, "{}GiB", bytes / GIB),
            bytes if bytes % MIB == 0 => write!(f, "{}MiB", bytes / MIB),
            bytes if bytes % KIB == 0 => write!(f, "{}KiB", bytes / KIB),
            bytes => bytes.fmt(f),
        }
    }
}

/// A time; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let (number, unit) = split_unit(text);
        let time = number.and_then(|number| match unit {
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            _ => None,
        });
        time.filter(|time| !time.is_zero() && *time <= MAX_TIME)
            .map(Self)
            .ok_or(InvalidUnit("expected a time such as 500ms, 30s, 5m or 1h"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (secs, 0) if secs % 3600 == 0 => write!(f, "{}h", secs / 3600),
            (secs, 0) if secs % 60 == 0 => write!(f, "{}m", secs / 60),
            (secs, 0) => write!(f, "{secs}s"),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

/// The number at the beginning, if there is one, and what follows it.
fn split_unit(text: &str) -> (Option<u64>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number.parse().ok(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_back_as_they_print() {
        for text in ["1", "895000", "64KiB", "1MiB", "1025MiB", "2GiB"] {
            assert_eq!(text.parse::<ByteSize>().map(|size| size.to_string()).as_deref(), Ok(text));
        }
        for text in ["1ms", "1500ms", "30s", "90s", "5m", "1h", "8784h"] {
            assert_eq!(text.parse::<Time>().map(|time| time.to_string()).as_deref(), Ok(text));
        }
        for text in ["1", "1000000000"] {
            assert_eq!(text.parse::<Count>().map(|count| count.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_size_time_or_count_is_refused() {
        for text in ["", "0", "-1", "1.5MiB", "1 MiB", "1mb", "MiB", "18446744073709551615GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?} was taken for a size");
        }
        for text in ["", "0s", "0", "5", "-1s", "1d", "s", "8785h", "18446744073709551615h"] {
            assert!(text.parse::<Time>().is_err(), "{text:?} was taken for a time");
        }
        for text in ["", "0", "-1", "1000000001", "many"] {
            assert!(text.parse::<Count>().is_err(), "{text:?} was taken for a count");
        }
    }
}
