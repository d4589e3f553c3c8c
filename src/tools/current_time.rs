//! `current_time`: the time and date, in UTC or at an offset from it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};

/// The name that models and agents call it by.
pub const NAME: &str = "current_time";

/// The farthest that a clock on the wall stands from UTC, in minutes: UTC+14 (Kiribati), and as much to the other side.
pub const MAX_OFFSET_MINUTES: i32 = 14 * 60;

/// The first second that RFC 3339 can't write: the year 10000.
const YEAR_10000_SECONDS: u64 = 253_402_300_800;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// The days of the week from the one that 1970-01-01 was.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// How many minutes the wanted clock is ahead of UTC (behind: negative). Without it: UTC.
    #[serde(default)]
    #[schemars(range(min = -MAX_OFFSET_MINUTES, max = MAX_OFFSET_MINUTES))]
    utc_offset_minutes: Option<i32>,
}

/// Tells the time.
pub struct CurrentTime {
    now: fn() -> SystemTime,
}

impl CurrentTime {
    /// Tells the time of the clock `now`: the system's, but in tests.
    #[must_use]
    pub fn new(now: fn() -> SystemTime) -> Self {
        Self { now }
    }
}

#[async_trait]
impl Tool for CurrentTime {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            NAME,
            "Tells the current time, date and weekday, in UTC or at an offset from UTC in minutes.",
            super::parameters::<Arguments>(),
        )
        .idempotent()
    }

    async fn call(&self, _context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let Arguments { utc_offset_minutes } = super::arguments(arguments)?;
        read_clock((self.now)(), utc_offset_minutes.unwrap_or(0))
            .ok_or_else(|| ToolError::Failed("the system's clock is set to a time that has no date".to_owned()))
    }
}

/// What a clock `offset_minutes` ahead of UTC shows at `now`; none before 1970 and after the year 9999.
fn read_clock(now: SystemTime, offset_minutes: i32) -> Option<Value> {
    let unix = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let local = unix.checked_add_signed(i64::from(offset_minutes) * 60)?;
    if local >= YEAR_10000_SECONDS {
        return None;
    }
    let shown = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(local)).to_string();
    let weekday = WEEKDAYS[usize::try_from(local / SECONDS_PER_DAY % 7).ok()?];
    Some(json!({
        "time": shown.replace('Z', &suffix(offset_minutes)),
        "weekday": weekday,
        "unix": unix,
    }))
}

/// The offset as RFC 3339 writes it.
fn suffix(offset_minutes: i32) -> String {
    if offset_minutes == 0 {
        return "Z".to_owned();
    }
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let minutes = offset_minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::doubles::{call_as, frozen};

    /// 2026-11-20T22:30:05Z, a Friday.
    const UNIX: u64 = 1_795_213_805;

    fn clock() -> CurrentTime {
        CurrentTime::new(|| UNIX_EPOCH + Duration::from_secs(UNIX))
    }

    #[tokio::test]
    async fn without_an_offset_it_tells_utc() {
        let told = call_as("ada", &clock(), json!({})).await;
        let expected = json!({"time": "2026-11-20T22:30:05Z", "weekday": "Friday", "unix": UNIX});
        assert_eq!(told, Ok(expected));
    }

    #[tokio::test]
    async fn an_offset_moves_the_date_and_the_weekday_but_not_the_moment() {
        for (minutes, time, weekday) in [
            (120, "2026-11-21T00:30:05+02:00", "Saturday"),
            (330, "2026-11-21T04:00:05+05:30", "Saturday"),
            (-210, "2026-11-20T19:00:05-03:30", "Friday"),
            (-1, "2026-11-20T22:29:05-00:01", "Friday"),
        ] {
            let told = call_as("ada", &clock(), json!({"utc_offset_minutes": minutes})).await;
            assert_eq!(told, Ok(json!({"time": time, "weekday": weekday, "unix": UNIX})));
        }
    }

    #[test]
    fn a_clock_beyond_the_calendar_has_no_date_and_does_not_panic() {
        assert_eq!(read_clock(UNIX_EPOCH - Duration::from_secs(1), 0), None);
        assert_eq!(read_clock(UNIX_EPOCH, -1), None);
        let last = UNIX_EPOCH + Duration::from_secs(YEAR_10000_SECONDS - 1);
        assert!(read_clock(last, 0).is_some());
        assert_eq!(read_clock(last, 1), None);
    }

    #[test]
    fn the_schema_rejects_extra_fields_and_offsets_that_no_clock_has() {
        let tools = frozen(clock());
        let class = tools.get(NAME).unwrap();
        for good in [
            json!({}),
            json!({"utc_offset_minutes": -840}),
            json!({"utc_offset_minutes": 840}),
        ] {
            assert_eq!(class.validate(&good), Ok(()), "{good}");
        }
        for bad in [
            json!({"utc_offset_minutes": 841}),
            json!({"utc_offset_minutes": "2"}),
            json!({"timezone": "Europe/Berlin"}),
        ] {
            assert!(class.validate(&bad).is_err(), "{bad}");
        }
    }
}
