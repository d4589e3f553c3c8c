//! Calendar days, as usage data and the catalogue write them.

use std::fmt;

/// The years that a date may have. Beyond: it is no date but a slip, such as a number of seconds.
const YEARS: std::ops::RangeInclusive<i64> = 1970..=2999;

/// A day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// Reads `YYYY-MM-DD`, where there is such a day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<i64> {
            let digits = text.get(range)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
            digits.parse().ok()
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let is_real = YEARS.contains(&year) && (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        is_real
            .then(|| Self(days_before_year(year) + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1))
    }

    /// The day of a timestamp: `YYYY-MM-DD` alone, or with a time behind it as in RFC 3339. It is the day that is written
    /// there: no zone is reckoned with.
    #[must_use]
    pub fn of_timestamp(text: &str) -> Option<Self> {
        let day = Self::parse(text.get(..10)?)?;
        let time = &text[10..];
        (time.is_empty() || is_time(time)).then_some(day)
    }

    /// How many days there are from this one to `last`, both included.
    #[must_use]
    pub const fn days_to(self, last: Self) -> i64 {
        last.0 - self.0 + 1
    }

    /// The day so many days later.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0 + days)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut year = 1970 + self.0 / 366;
        while days_before_year(year + 1) <= self.0 {
            year += 1;
        }
        let mut rest = self.0 - days_before_year(year);
        let mut month = 1;
        while rest >= days_of(year, month) {
            rest -= days_of(year, month);
            month += 1;
        }
        write!(f, "{year:04}-{month:02}-{:02}", rest + 1)
    }
}

/// ` 08:15`, `T08:15:00`, `T08:15:00.123+02:00`: what may stand behind a date.
fn is_time(text: &str) -> bool {
    let Some(time) = text.strip_prefix(['T', 't', ' ']) else {
        return false;
    };
    let below = |range: std::ops::Range<usize>, limit: u8| {
        let number = time
            .get(range)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        number
            .and_then(|digits| digits.parse::<u8>().ok())
            .is_some_and(|number| number < limit)
    };
    let rest_is_known = |byte: u8| byte.is_ascii_digit() || b":.+-Zz ".contains(&byte);
    below(0..2, 24) && time.as_bytes().get(2) == Some(&b':') && below(3..5, 60) && time.bytes().all(rest_is_known)
}

fn days_before_year(year: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_it_was_read() {
        for text in [
            "1970-01-01",
            "1999-12-31",
            "2000-02-29",
            "2024-12-31",
            "2026-10-17",
            "2999-12-31",
        ] {
            assert_eq!(Day::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Day::parse("2026-11-20"), Some(Day(20_777)));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "1969-12-31",
            "26-01-01",
            "2026/01/01",
            "+026-01-01",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_day_of_a_timestamp_is_the_one_that_is_written() {
        let day = Day::parse("2026-10-01");
        for text in [
            "2026-10-01",
            "2026-10-01T23:59:59Z",
            "2026-10-01 08:15",
            "2026-10-01T00:10:00.5-09:00",
        ] {
            assert_eq!(Day::of_timestamp(text), day, "{text}");
        }
        for text in [
            "2026-10-01X",
            "2026-10-01T25:00",
            "2026-10-01T1:00",
            "2026-10-01T10:00 or so",
            "2026-10-0é1",
            "now",
        ] {
            assert_eq!(Day::of_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn days_are_counted_over_months_and_years() {
        let (first, last) = (Day::parse("2023-12-30").unwrap(), Day::parse("2024-03-01").unwrap());
        assert_eq!(first.days_to(last), 63);
        assert_eq!(first.plus(62), last);
    }
}
