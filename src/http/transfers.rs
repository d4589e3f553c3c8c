//! How many documents are sent and fetched at once: each is held in memory as long as it takes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sessile_actors::ids::UserId;
use sessile_actors::limits::Limits;

use super::{Problem, RETRY_AFTER};

/// Counts them. It belongs to the one HTTP worker, on whose thread all requests are handled: nothing else touches it.
#[derive(Default, Clone)]
pub(super) struct Transfers(Rc<RefCell<Book>>);

#[derive(Default)]
struct Book {
    /// Users that have any, with how many.
    per_user: BTreeMap<UserId, usize>,
    total: usize,
}

impl Transfers {
    /// Takes a place, which is given back when the answer is dropped.
    ///
    /// # Errors
    /// 429 where the user has as many as they may, 503 where everybody together has.
    pub(super) fn enter(&self, user: &UserId, limits: &Limits) -> Result<Place, Problem> {
        let mut book = self.0.borrow_mut();
        let own = book.per_user.get(user).copied().unwrap_or_default();
        if own >= limits.document_transfers_per_user {
            return Err(Problem::too_many(
                format!("{own} documents of yours are on their way already; wait for one"),
                RETRY_AFTER,
            ));
        }
        if book.total >= limits.document_transfers {
            return Err(Problem::unavailable(
                "too many documents are on their way; try again",
                RETRY_AFTER,
            ));
        }
        book.per_user.insert(user.clone(), own + 1);
        book.total += 1;
        Ok(Place {
            transfers: self.clone(),
            user: user.clone(),
        })
    }
}

/// A document on its way.
pub(super) struct Place {
    transfers: Transfers,
    user: UserId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut book = self.transfers.0.borrow_mut();
        book.total = book.total.saturating_sub(1);
        let left = book.per_user.get(&self.user).map_or(0, |own| own.saturating_sub(1));
        match left {
            0 => book.per_user.remove(&self.user),
            left => book.per_user.insert(self.user.clone(), left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(entered: Result<Place, Problem>) -> u16 {
        entered.map_or_else(|refused| refused.status().as_u16(), |_| 200)
    }

    #[test]
    fn one_user_is_bounded_and_so_are_all_and_a_place_comes_back() {
        let limits = Limits {
            document_transfers_per_user: 2,
            document_transfers: 3,
            ..Limits::default()
        };
        let [ada, bob] = ["ada", "bob"].map(|name| UserId::parse(name).unwrap());
        let transfers = Transfers::default();
        let first = transfers.enter(&ada, &limits).unwrap();
        let _second = transfers.enter(&ada, &limits).unwrap();
        assert_eq!(status(transfers.enter(&ada, &limits)), 429);
        let third = transfers.enter(&bob, &limits).unwrap();
        assert_eq!(status(transfers.enter(&bob, &limits)), 503);
        drop(third);
        drop(first);
        assert_eq!(status(transfers.enter(&ada, &limits)), 200);
        assert_eq!(transfers.0.borrow().total, 1);
    }
}
