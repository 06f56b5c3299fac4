//! Why a policy cannot be compiled.

use std::fmt;

use super::classes::MAX_CLASSES;

/// A policy that does not fit the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// Addresses are in too many different combinations of lists.
    TooManyClasses,
    /// Ports are named by too many different combinations of rules.
    TooManyPortClasses,
    /// Combinations of lists times combinations of rules.
    TooManyCells {
        /// How many there can be.
        limit: usize,
    },
    /// All counters were given to rules and ports, those of earlier configurations included.
    TooManyCounters,
}

impl CompileError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            CompileError::TooManyClasses => {
                "let fewer lists overlap: put sources that may do the same on one list"
            }
            CompileError::TooManyPortClasses => {
                "let fewer rules name the same ports, or give ports that are served alike one rule"
            }
            CompileError::TooManyCells { .. } => {
                "put sources that may do the same on one list, and ports that are served alike in one rule"
            }
            CompileError::TooManyCounters => {
                "name fewer ports in [metrics] ports; `foobar detach` forgets the counters of earlier configurations"
            }
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::TooManyClasses => {
                write!(f, "the lists overlap in more than {MAX_CLASSES} different ways")
            }
            CompileError::TooManyPortClasses => {
                write!(f, "the rules name ports in more than {} different combinations", u16::MAX)
            }
            CompileError::TooManyCells { limit } => {
                write!(
                    f,
                    "lists and rules overlap in so many ways that more than {limit} cells are needed"
                )
            }
            CompileError::TooManyCounters => {
                write!(f, "all {} counters of rules and ports are taken", u32::from(u16::MAX) + 1)
            }
        }
    }
}

impl std::error::Error for CompileError {}
