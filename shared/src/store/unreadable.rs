//! The unreadable rows that a process has found.

use std::sync::{Mutex, PoisonError};

use crate::cache::TtlCache;
use crate::limits;
use crate::model::ids::TenantId;

/// A row that could not be read, for the quarantine.
#[derive(Debug, Clone)]
pub struct UnreadableRow {
    pub tenant: Option<TenantId>,
    /// Table and key.
    pub name: String,
    pub reason: String,
    /// The row as DynamoDB JSON. Binary attributes, which are sealed, are replaced by their lengths.
    pub content: String,
}

/// The unreadable rows that a process has found.
#[derive(Debug)]
pub(super) struct UnreadableRows {
    /// Rows that were reported recently, by name.
    pub(super) reported: TtlCache<()>,
    found: Mutex<Vec<UnreadableRow>>,
}

impl Default for UnreadableRows {
    fn default() -> Self {
        Self { reported: TtlCache::with_capacity(limits::CACHE_ENTRIES), found: Mutex::default() }
    }
}

impl UnreadableRows {
    /// The rows since the last call.
    pub(super) fn take(&self) -> Vec<UnreadableRow> {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a row, unless there are [`limits::UNREADABLE_ROWS`].
    pub(super) fn add(&self, row: UnreadableRow) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() < limits::UNREADABLE_ROWS {
            found.push(row);
        }
    }
}
