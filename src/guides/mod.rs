//! Guides, whose code compiles and runs with the tests.

#[doc = include_str!("first_agent.md")]
pub mod first_agent {}

#[doc = include_str!("from_singletons.md")]
pub mod from_singletons {}
