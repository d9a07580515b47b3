//! The settings of a tenant, in the item `tenant` of its partition of the table `tenants`: every read of the tenant
//! includes them. Attributes `quiet_hours` and `opt_out_confirmation`, as JSON; an absent one has its default.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use super::item::{self, Row};
use crate::model::patch::Patch;
use crate::model::settings::{SettingsChange, TenantSettings};

const QUIET_HOURS: &str = "quiet_hours";
const OPT_OUT_CONFIRMATION: &str = "opt_out_confirmation";

/// The attributes that a change sets, or removes.
pub(super) fn attributes(
    change: &SettingsChange,
) -> Result<Vec<(&'static str, Option<AttributeValue>)>, StoreError> {
    let fields = [
        (QUIET_HOURS, attribute(&change.quiet_hours)?),
        (OPT_OUT_CONFIRMATION, attribute(&change.opt_out_confirmation)?),
    ];
    let changed = fields.into_iter().filter_map(|(name, value)| match value {
        Patch::Keep => None,
        Patch::Set(value) => Some((name, Some(value))),
        Patch::Clear => Some((name, None)),
    });
    Ok(changed.collect())
}

fn attribute<T: Serialize>(value: &Patch<T>) -> Result<Patch<AttributeValue>, StoreError> {
    Ok(match value {
        Patch::Keep => Patch::Keep,
        Patch::Set(value) => {
            let json = serde_json::to_string(value).map_err(|_| StoreError::Damaged("settings"))?;
            Patch::Set(item::text(json))
        }
        Patch::Clear => Patch::Clear,
    })
}

/// Reads the settings from the item of their tenant.
pub(super) fn read(row: &Row) -> Result<TenantSettings, StoreError> {
    Ok(TenantSettings {
        quiet_hours: value(row, QUIET_HOURS)?,
        opt_out_confirmation: value(row, OPT_OUT_CONFIRMATION)?.unwrap_or_default(),
    })
}

fn value<T: DeserializeOwned>(row: &Row, name: &'static str) -> Result<Option<T>, StoreError> {
    let json = row.maybe_text(name);
    json.map(|json| serde_json::from_str(&json).map_err(|_| StoreError::Damaged(name))).transpose()
}
