//! How long a model may take: for its first word, and between words.

use std::future::Future;
use std::time::Duration;

use sessile_actors::infra::model::{ModelError, ModelTimeout};
use tokio::time::{Instant, timeout_at};

use super::Timeouts;
use super::fault::Fault;

/// The time that one attempt has. What a provider sends to keep the connection open is no progress.
pub(super) struct Patience {
    timeouts: Timeouts,
    until: Instant,
    has_begun: bool,
}

impl Patience {
    /// Begins with the request.
    pub(super) fn begin(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            until: Instant::now() + timeouts.first_piece,
            has_begun: false,
        }
    }

    /// Waits for what the provider does next.
    ///
    /// # Errors
    /// [`ModelTimeout`] where the time is over.
    pub(super) async fn wait<T>(&self, next: impl Future<Output = T>) -> Result<T, Fault> {
        timeout_at(self.until, next).await.map_err(|_| {
            let late = if self.has_begun {
                ModelTimeout::Stall(self.timeouts.stall)
            } else {
                ModelTimeout::FirstPiece(self.timeouts.first_piece)
            };
            // Whoever waited this long is better told than made to wait as long again.
            Fault::last(ModelError::TimedOut(late))
        })
    }

    /// The model went on with its answer.
    pub(super) fn renew(&mut self) {
        self.has_begun = true;
        self.until = Instant::now() + self.timeouts.stall;
    }

    /// How long a connection may take to be made.
    pub(super) const fn connect(&self) -> Duration {
        self.timeouts.connect
    }
}
