//! The unreadable rows that a process has found.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cache::TtlCache;
use crate::limits;
use crate::model::ids::TenantId;

/// A row that could not be read, for the quarantine. Functions that serve requests send it to `sweep` as a queue message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnreadableRow {
    #[serde(serialize_with = "write_tenant", deserialize_with = "read_tenant")]
    pub tenant: Option<TenantId>,
    /// Table and key.
    pub name: String,
    pub reason: String,
    /// The row as DynamoDB JSON. Binary attributes, which are sealed, are replaced by their lengths.
    pub content: String,
}

#[expect(clippy::ref_option, reason = "it is what serde passes")]
fn write_tenant<S: Serializer>(tenant: &Option<TenantId>, serializer: S) -> Result<S::Ok, S::Error> {
    tenant.as_ref().map(TenantId::as_str).serialize(serializer)
}

fn read_tenant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TenantId>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.as_deref().and_then(TenantId::from_record))
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
