//! Roles: what a verified credential says that its user may do beyond what everybody may.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The most roles of one credential. One that names more is refused.
pub const ROLES_MAX: usize = 32;

/// The longest role, in bytes. A longer one is refused.
pub const ROLE_MAX_BYTES: usize = 64;

/// The roles of a verified credential: a small frozen set of names, compared letter by letter. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(Arc<BTreeSet<Box<str>>>);

/// These can't be roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RolesError {
    /// Too many.
    #[error("there are more than {ROLES_MAX} roles; name fewer")]
    TooMany,
    /// One of them is empty or too long.
    #[error("a role has 1 to {ROLE_MAX_BYTES} bytes")]
    BadLength,
}

impl Roles {
    /// No roles: what guests have, and whoever has no credential.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Freezes these names.
    ///
    /// # Errors
    /// [`RolesError`] beyond [`ROLES_MAX`] names, or where one is empty or longer than [`ROLE_MAX_BYTES`].
    pub fn freeze<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, RolesError> {
        let mut roles = BTreeSet::new();
        for (count, name) in names.into_iter().enumerate() {
            if count == ROLES_MAX {
                return Err(RolesError::TooMany);
            }
            if name.is_empty() || name.len() > ROLE_MAX_BYTES {
                return Err(RolesError::BadLength);
            }
            roles.insert(name.into());
        }
        Ok(Self(Arc::new(roles)))
    }

    /// Whether this role is among them.
    #[must_use]
    pub fn has(&self, role: &str) -> bool {
        self.0.contains(role)
    }

    /// Whether they suffice where `needed` is asked for; where nothing is, they always do.
    #[must_use]
    pub fn suffice(&self, needed: Option<&str>) -> bool {
        needed.is_none_or(|role| self.has(role))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|role| &**role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_had_letter_by_letter_and_nothing_is_had_by_nobody() {
        let roles = Roles::freeze(["admin", "buyer", "admin"]).expect("two roles");
        assert!(roles.has("admin") && roles.has("buyer") && !roles.has("Admin") && !roles.has("adm"));
        assert_eq!(roles.iter().collect::<Vec<_>>(), ["admin", "buyer"]);
        assert!(Roles::none().suffice(None) && !Roles::none().suffice(Some("admin")));
    }

    #[test]
    fn more_roles_than_allowed_and_names_without_measure_are_refused() {
        let names: Vec<String> = (0..=ROLES_MAX).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(Roles::freeze(names[1..].iter().copied()).is_ok());
        assert_eq!(Roles::freeze(names), Err(RolesError::TooMany));
        let longest = "x".repeat(ROLE_MAX_BYTES);
        assert!(Roles::freeze([&*longest]).is_ok());
        for bad in ["", &format!("{longest}x")] {
            assert_eq!(Roles::freeze([bad]), Err(RolesError::BadLength));
        }
    }
}
