//! What users changed in the supply catalogue for themselves: the port to where it is kept, and the one in memory.
//!
//! A user's changes lie over the shipped catalogue for that user alone. They are a log: nothing is taken back, the last change
//! of a field counts.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sessile_actors::ids::UserId;
use sessile_actors::protocol::server::rfc3339;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Changes of one user at most, in all time. Beyond: [`SupplyError::TooMany`].
pub const SUPPLY_CHANGES_PER_USER: usize = 1_000;

/// Jobs that wait for the task that owns the changes in memory. Beyond: [`SupplyError::Unavailable`].
const JOBS: usize = 1_024;

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its address.
    pub url: String,
    /// What it calls itself.
    pub title: String,
}

/// Values that a user found out about a model.
#[derive(Debug, Clone, PartialEq)]
pub struct SupplyUpdate {
    /// The model, by its name in the catalogue.
    pub model: String,
    /// What changes.
    pub fields: Vec<FieldChange>,
    /// How sure it is, from 0 to 1.
    pub confidence: f64,
    /// Why.
    pub reason: String,
    /// Where it stands.
    pub sources: Vec<Source>,
    /// When.
    pub at: SystemTime,
}

/// A field's new value.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// The field, by its name in the catalogue.
    pub field: String,
    /// What the shipped catalogue says: what is old where the user has not changed it before.
    pub shipped: Value,
    /// What the user says.
    pub new: Value,
}

/// A value of a user that lies over the shipped one.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlay {
    /// The model.
    pub model: String,
    /// The field.
    pub field: String,
    /// What counts.
    pub value: Value,
}

/// A change as it was logged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SupplyChange {
    /// The model.
    pub model: String,
    /// The field.
    pub field: String,
    /// What it was.
    pub old: Value,
    /// What it became.
    pub new: Value,
    /// How sure that was, from 0 to 1.
    pub confidence: f64,
    /// Why.
    pub reason: String,
    /// Where it stands.
    pub sources: Vec<Source>,
    /// When; RFC 3339, UTC.
    pub at: String,
}

/// Why a change was not taken or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupplyError {
    /// The user has [`SUPPLY_CHANGES_PER_USER`] changes.
    #[error(
        "a user has at most {SUPPLY_CHANGES_PER_USER} changes of the catalogue; what is still missing belongs in supply.file"
    )]
    TooMany,
    /// The store can't say now.
    #[error("the changes of the catalogue are unavailable: {0}")]
    Unavailable(String),
}

/// Where users' changes of the catalogue are kept. Every call names its user, and reaches that user's changes alone.
pub trait SupplyStore: Send + Sync {
    /// Logs an update, all of it or nothing: one change for each field whose value is another than before. Gives back those.
    fn update(&self, user: &UserId, update: SupplyUpdate)
    -> BoxFuture<'static, Result<Vec<SupplyChange>, SupplyError>>;

    /// The values that count for the user, each field of each model once.
    fn overlay(&self, user: &UserId) -> BoxFuture<'static, Result<Vec<Overlay>, SupplyError>>;

    /// The newest changes, newest first: of one model, or of all.
    fn log(
        &self,
        user: &UserId,
        model: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<SupplyChange>, SupplyError>>;
}

impl SupplyUpdate {
    /// The changes that the update makes, where `current` says what counts for a field now.
    pub(super) fn changes(&self, current: impl Fn(&str) -> Option<Value>) -> Vec<SupplyChange> {
        let change = |change: &FieldChange| {
            let old = current(&change.field).unwrap_or_else(|| change.shipped.clone());
            (old != change.new).then(|| SupplyChange {
                model: self.model.clone(),
                field: change.field.clone(),
                old,
                new: change.new.clone(),
                confidence: self.confidence,
                reason: self.reason.clone(),
                sources: self.sources.clone(),
                at: rfc3339(self.at),
            })
        };
        self.fields.iter().filter_map(change).collect()
    }
}

type Changes = BTreeMap<UserId, Vec<SupplyChange>>;
type Job = Box<dyn FnOnce(&mut Changes) + Send>;

/// A [`SupplyStore`] in memory. Clones share their changes; the task ends with the last of them.
#[derive(Clone)]
pub struct MemorySupply {
    /// To the task that owns the changes.
    jobs: mpsc::Sender<Job>,
}

impl MemorySupply {
    /// Starts without changes on the current tokio runtime. Panics outside one.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(&Handle::current())
    }

    /// Starts without changes on `runtime`.
    #[must_use]
    pub fn start_on(runtime: &Handle) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS);
        runtime.spawn(async move {
            let mut changes = Changes::new();
            while let Some(job) = queue.recv().await {
                job(&mut changes);
            }
        });
        Self { jobs }
    }

    /// Has the task work on the changes of one user.
    fn ask<T: Send + 'static>(
        &self,
        user: &UserId,
        work: impl FnOnce(&mut Vec<SupplyChange>) -> Result<T, SupplyError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, SupplyError>> {
        let (reply, answer) = oneshot::channel();
        let user = user.clone();
        let sent = self.jobs.try_send(Box::new(move |changes| {
            // Nobody waits any more: the changes are taken all the same.
            let _ = reply.send(work(changes.entry(user).or_default()));
        }));
        async move {
            let unavailable = |why: &str| SupplyError::Unavailable(why.to_owned());
            sent.map_err(|_| unavailable("too many changes at once, or the server is ending"))?;
            answer.await.map_err(|_| unavailable("the server is ending"))?
        }
        .boxed()
    }
}

impl SupplyStore for MemorySupply {
    fn update(
        &self,
        user: &UserId,
        update: SupplyUpdate,
    ) -> BoxFuture<'static, Result<Vec<SupplyChange>, SupplyError>> {
        self.ask(user, move |log| {
            let current = |field: &str| {
                let mut newest = log.iter().rev();
                let last = newest.find(|change| change.model == update.model && change.field == field);
                last.map(|change| change.new.clone())
            };
            let changes = update.changes(current);
            if log.len() + changes.len() > SUPPLY_CHANGES_PER_USER {
                return Err(SupplyError::TooMany);
            }
            log.extend(changes.iter().cloned());
            Ok(changes)
        })
    }

    fn overlay(&self, user: &UserId) -> BoxFuture<'static, Result<Vec<Overlay>, SupplyError>> {
        self.ask(user, |log| {
            let last: BTreeMap<_, _> = (log.iter())
                .map(|change| ((change.model.clone(), change.field.clone()), change.new.clone()))
                .collect();
            let overlay = |((model, field), value)| Overlay { model, field, value };
            Ok(last.into_iter().map(overlay).collect())
        })
    }

    fn log(
        &self,
        user: &UserId,
        model: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<SupplyChange>, SupplyError>> {
        self.ask(user, move |log| {
            let of_model = |change: &&SupplyChange| model.as_ref().is_none_or(|model| change.model == *model);
            Ok(log.iter().rev().filter(of_model).take(limit).cloned().collect())
        })
    }
}
