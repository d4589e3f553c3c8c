//! A user's changes of the supply catalogue: a log, of which the last row of a field counts.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sessile_actors::ids::UserId;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{SqliteStore, Work, rows};
use crate::store::supply::{Overlay, SUPPLY_CHANGES_PER_USER, SupplyChange, SupplyError, SupplyStore, SupplyUpdate};

const COUNT: &str = "SELECT count(*) FROM supply_change WHERE user_id = ?";

/// What counts: of each field of each model the last row.
const OVERLAY: &str = "SELECT model, field, new FROM supply_change WHERE n IN ( \
        SELECT max(n) FROM supply_change WHERE user_id = ?1 GROUP BY model, field) \
    AND user_id = ?1 ORDER BY model, field";

const LOG: &str = "SELECT model, field, old, new, confidence, reason, sources, created FROM supply_change \
    WHERE user_id = ?1 AND (?2 IS NULL OR model = ?2) ORDER BY n DESC LIMIT ?3";

const INSERT: &str = "INSERT INTO supply_change \
    (user_id, model, field, old, new, confidence, reason, sources, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

struct LogUpdate {
    user: UserId,
    update: SupplyUpdate,
}

impl Work for LogUpdate {
    type Output = Result<Vec<SupplyChange>, SupplyError>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move {
            let (user, update) = (self.user.as_str(), &self.update);
            // Within the transaction: what is old is what counted before this change, whoever else is at it.
            let overlay = overlay(db, user).await?;
            let current = |field: &str| {
                let mut own = overlay.iter().filter(|own| own.model == update.model);
                own.find(|own| own.field == field).map(|own| own.value.clone())
            };
            let changes = update.changes(current);
            let count: i64 = sqlx::query_scalar(COUNT).bind(user).fetch_one(&mut *db).await?;
            if count + rows::integer::<usize>(changes.len()) > rows::integer(SUPPLY_CHANGES_PER_USER) {
                return Ok(Err(SupplyError::TooMany));
            }
            for change in &changes {
                sqlx::query(INSERT)
                    .bind(user)
                    .bind(&change.model)
                    .bind(&change.field)
                    .bind(change.old.to_string())
                    .bind(change.new.to_string())
                    .bind(change.confidence)
                    .bind(&change.reason)
                    .bind(serde_json::to_string(&change.sources).map_err(rows::damaged)?)
                    .bind(rows::micros(update.at))
                    .execute(&mut *db)
                    .await?;
            }
            Ok(Ok(changes))
        })
    }
}

async fn overlay(db: &mut SqliteConnection, user: &str) -> Result<Vec<Overlay>, sqlx::Error> {
    let found = sqlx::query(OVERLAY).bind(user).fetch_all(db).await?;
    let overlay = |row: &SqliteRow| {
        Ok(Overlay {
            model: row.try_get("model")?,
            field: row.try_get("field")?,
            value: json::<Value>(row, "new")?,
        })
    };
    found.iter().map(overlay).collect()
}

async fn newest(
    db: &mut SqliteConnection,
    user: &str,
    model: Option<String>,
    limit: usize,
) -> Result<Vec<SupplyChange>, sqlx::Error> {
    let query = sqlx::query(LOG).bind(user).bind(model).bind(rows::integer(limit));
    query.fetch_all(db).await?.iter().map(change).collect()
}

fn change(row: &SqliteRow) -> Result<SupplyChange, sqlx::Error> {
    Ok(SupplyChange {
        model: row.try_get("model")?,
        field: row.try_get("field")?,
        old: json(row, "old")?,
        new: json(row, "new")?,
        confidence: row.try_get("confidence")?,
        reason: row.try_get("reason")?,
        sources: json(row, "sources")?,
        at: rows::time(row, "created")?,
    })
}

fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(rows::damaged)
}

impl SupplyStore for SqliteStore {
    fn update(
        &self,
        user: &UserId,
        update: SupplyUpdate,
    ) -> BoxFuture<'static, Result<Vec<SupplyChange>, SupplyError>> {
        let user = user.clone();
        let logged = self.write(LogUpdate { user, update });
        async move {
            logged
                .await
                .map_err(|error| SupplyError::Unavailable(error.to_string()))?
        }
        .boxed()
    }

    fn overlay(&self, user: &UserId) -> BoxFuture<'static, Result<Vec<Overlay>, SupplyError>> {
        let user = user.clone();
        let found = self.read(move |db| async move { overlay(db, user.as_str()).await }.boxed());
        async move { found.await.map_err(SupplyError::Unavailable) }.boxed()
    }

    fn log(
        &self,
        user: &UserId,
        model: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<SupplyChange>, SupplyError>> {
        let user = user.clone();
        let found = self.read(move |db| async move { newest(db, user.as_str(), model, limit).await }.boxed());
        async move { found.await.map_err(SupplyError::Unavailable) }.boxed()
    }
}
