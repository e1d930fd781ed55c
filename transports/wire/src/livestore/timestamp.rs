//! Times as JavaScript's `toISOString` writes them: `2026-11-23T04:57:17.674Z`, of the years that have four digits.

use std::fmt;

use livestore_traits::UnixMillis;

const DAY_MILLIS: u64 = 86_400_000;
/// The last millisecond of the year 9999.
const MAX_MILLIS: u64 = 253_402_300_799_999;

pub(crate) struct Iso(pub(crate) UnixMillis);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.0.min(MAX_MILLIS);
        let (year, month, day) = date_of(millis / DAY_MILLIS);
        let rest = millis % DAY_MILLIS;
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, milli) = (rest / 1000 % 60, rest % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Reads what [`Iso`] writes.
pub(crate) fn parse(text: &str) -> Option<UnixMillis> {
    let field = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let days = days_to(field(0, 4)?, field(5, 7)?, field(8, 10)?)?;
    let seconds = (field(11, 13)? * 60 + field(14, 16)?) * 60 + field(17, 19)?;
    let time = UnixMillis(days * DAY_MILLIS + seconds * 1000 + field(20, 23)?);
    // Whatever else differs, a separator or a date that no calendar has, shows when it is written again.
    (Iso(time).to_string() == text).then_some(time)
}

/// The date of a day counted from 1970-01-01. Years begin in March here, so that the leap day ends one.
const fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // Since 0000-03-01.
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_javascript() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_409_837_674, "2026-11-23T04:57:17.674Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (MAX_MILLIS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Iso(UnixMillis(millis)).to_string(), text);
            assert_eq!(parse(text), Some(UnixMillis(millis)), "{text}");
        }
        assert_eq!(Iso(UnixMillis(u64::MAX)).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_no_time_is_not_read_as_one() {
        for text in
            ["", "2026", "2026-02-30T00:00:00.000Z", "2026-11-23 04:57:17.674Z", "2026-13-01T00:00:00.000Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("1969-12-31T23:59:59.999Z"), None);
        assert_eq!(parse("2026-11-23T24:00:00.000Z"), None);
        assert_eq!(parse("2026-11-23T04:57:17.674+00:00"), None);
    }
}
