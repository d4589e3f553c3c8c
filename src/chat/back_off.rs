//! When to connect again: full jitter, as the protocol has it.

use std::time::Duration;

use tokio::time::Instant;

/// The first attempt comes within this; each later one within twice as much.
const FIRST: Duration = Duration::from_millis(250);
/// The most that is waited in the first minute.
const YOUNG_CAP: Duration = Duration::from_secs(5);
/// The most that is waited after it.
const CAP: Duration = Duration::from_secs(30);
/// How long a cut counts as young.
const YOUNG: Duration = Duration::from_secs(60);
/// How long a line must have held for its loss to count as the first: a server that greets and cuts is not asked ever again at once.
const SETTLED: Duration = Duration::from_secs(5);
/// Doublings after which the cap holds anyway.
const DOUBLINGS_MAX: u32 = 10;

/// Counts attempts since the line was lost.
#[derive(Debug, Default)]
pub struct BackOff {
    attempts: u32,
    cut_at: Option<Instant>,
    up_at: Option<Instant>,
}

impl BackOff {
    /// The line is up.
    pub fn up(&mut self, now: Instant) {
        self.up_at.get_or_insert(now);
    }

    /// The line is gone; says for how long it has not held.
    pub fn cut(&mut self, now: Instant) -> Duration {
        if self.up_at.take().is_some_and(|up_at| now - up_at >= SETTLED) {
            *self = Self::default();
        }
        now - *self.cut_at.get_or_insert(now)
    }

    /// How long to wait before the next attempt: `at_least` what the server asked for. `dice` is random.
    pub fn next(&mut self, now: Instant, at_least: Duration, dice: u32) -> Duration {
        let is_young = self.cut(now) < YOUNG;
        let most = (FIRST * 2_u32.pow(self.attempts)).min(if is_young { YOUNG_CAP } else { CAP });
        self.attempts = (self.attempts + 1).min(DOUBLINGS_MAX);
        at_least.max(most.mul_f64(f64::from(dice) / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_cap_and_is_spread_over_all_of_it() {
        let begun = Instant::now();
        let mut back_off = BackOff::default();
        let mut most = || back_off.next(begun, Duration::ZERO, u32::MAX).as_millis();
        assert_eq!(
            [most(), most(), most(), most(), most(), most()],
            [250, 500, 1000, 2000, 4000, 5000]
        );
        assert_eq!(back_off.next(begun, Duration::ZERO, 0), Duration::ZERO);
        let later = begun + YOUNG;
        let wait_long = (0..20).map(|_| back_off.next(later, Duration::ZERO, 0)).max();
        assert_eq!(wait_long, Some(Duration::ZERO));
        assert_eq!(back_off.next(later, Duration::ZERO, u32::MAX), CAP);
        assert_eq!(back_off.cut(later), YOUNG);
    }

    #[test]
    fn only_a_line_that_held_for_a_while_makes_the_next_loss_the_first() {
        let mut now = Instant::now();
        let mut back_off = BackOff::default();
        for most in [250, 500, 1000] {
            back_off.up(now);
            now += Duration::from_millis(10);
            let wait = back_off.next(now, Duration::ZERO, u32::MAX);
            assert_eq!(wait.as_millis(), most, "greeted and cut");
        }
        back_off.up(now);
        now += SETTLED;
        assert_eq!(back_off.cut(now), Duration::ZERO);
        assert_eq!(back_off.next(now, Duration::ZERO, u32::MAX), FIRST);
    }

    #[test]
    fn a_server_that_names_a_time_is_not_asked_before_it() {
        let wait = Duration::from_secs(7);
        assert_eq!(BackOff::default().next(Instant::now(), wait, 0), wait);
    }
}
