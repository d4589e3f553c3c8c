//! The arithmetic of AI usage: what it cost, where it went, what would make it cheaper. Pure: texts in, figures out, always the same.
//!
//! Amounts are exact decimals in US dollars; they are rounded, half up, only where they are written down.

pub mod analysis;
pub mod catalogue;
pub mod day;
pub mod money;
pub mod pricing;
pub mod reading;
pub mod savings;

pub use analysis::analyse;
pub use catalogue::Catalogue;
pub use day::Day;
pub use reading::{Format, ReadError, Usage, read};
pub use savings::savings;
