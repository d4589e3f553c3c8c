//! Follows the course of a workflow: performs its effects, a child run a try.
