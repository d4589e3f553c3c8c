//! What a journal promises, whatever it is made of: one suite, run over each backend.

mod budgets;
mod children;
mod documents;
mod kit;
mod log;
mod notes;
mod people;
mod reading;
mod runs;
mod sqlite;
mod supply;
mod threads;

/// Runs each promise over the journal in memory (in paused time) and over the one on disk.
macro_rules! over_both_backends {
    ($($promise:ident)*) => {
        mod in_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $promise() {
                super::$promise(crate::store::kit::World::in_memory()).await;
            })*
        }

        mod on_disk {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(crate::store::kit::World::on_disk().await).await;
            })*
        }
    };
}

use over_both_backends;
