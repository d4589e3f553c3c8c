//! A run's time: it stands still while the run waits for a person.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time of one run. Clones tell the same time.
#[derive(Debug, Clone)]
pub(crate) struct RunClock {
    /// How many of the run's calls wait for a person.
    waiting: watch::Sender<usize>,
}

/// While it lives, the time of its run stands still.
#[derive(Debug)]
pub(crate) struct Standstill(RunClock);

impl RunClock {
    pub(crate) fn start() -> Self {
        let (waiting, _) = watch::channel(0);
        Self { waiting }
    }

    /// Stops the time until what comes back is dropped.
    pub(crate) fn stand_still(&self) -> Standstill {
        self.waiting.send_modify(|waiting| *waiting += 1);
        Standstill(self.clone())
    }

    /// Ends when `limit` of the run's time has passed since the call.
    pub(crate) async fn run_out(&self, limit: Duration) {
        let (mut waiting, mut left) = (self.waiting.subscribe(), limit);
        loop {
            // Never an error: a sender lives in `self`.
            let _ = waiting.wait_for(|waiting| *waiting == 0).await;
            let since = Instant::now();
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                _ = waiting.wait_for(|waiting| *waiting > 0) => left = left.saturating_sub(since.elapsed()),
            }
        }
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_that_a_run_waits_for_a_person_does_not_count() {
        let (clock, since) = (RunClock::start(), Instant::now());
        let person = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let _still = (clock.stand_still(), clock.stand_still());
            tokio::time::sleep(Duration::from_secs(3600)).await;
        };
        tokio::join!(clock.run_out(Duration::from_secs(10)), person);
        assert_eq!(since.elapsed(), Duration::from_secs(3610));
    }
}
