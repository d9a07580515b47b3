//! The settings of a tenant, in the item `tenant` of its partition of the table `tenants`: every read of the tenant
//! includes them. Attributes `quiet_hours` and `opt_out_confirmation`, as JSON; an absent one has its default.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, Update};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::item::{self, Row};
use super::tenants::tenant_key;
use super::{ChangeOutcome, Store, StoreError};
use crate::model::audit::AuditEntry;
use crate::model::ids::TenantId;
use crate::model::patch::Patch;
use crate::model::settings::{SettingsChange, TenantSettings};
use crate::model::tenant::TenantStatus;

const QUIET_HOURS: &str = "quiet_hours";
const OPT_OUT_CONFIRMATION: &str = "opt_out_confirmation";

impl Store {
    /// The settings of a tenant that may be deleted, which has the defaults.
    pub async fn settings(&self, tenant: &TenantId) -> Result<TenantSettings, StoreError> {
        Ok(self.tenant(tenant).await?.map(|tenant| tenant.settings).unwrap_or_default())
    }

    /// A conflict if the tenant is being deleted.
    pub async fn change_settings(
        &self,
        tenant: &TenantId,
        change: &SettingsChange,
        entry: &AuditEntry<'_>,
    ) -> Result<ChangeOutcome, StoreError> {
        let fields = [
            (QUIET_HOURS, attribute(&change.quiet_hours)?),
            (OPT_OUT_CONFIRMATION, attribute(&change.opt_out_confirmation)?),
        ];
        let changed = fields.into_iter().filter_map(|(name, value)| match value {
            Patch::Keep => None,
            Patch::Set(value) => Some((name, Some(value))),
            Patch::Clear => Some((name, None)),
        });
        let time = ("changed_at", Some(item::time(self.clock.now())));
        let change = item::Change::of(changed.chain([time]));
        let update = Update::builder()
            .table_name(&self.tables.tenants)
            .set_key(Some(tenant_key(tenant)))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .condition_expression("attribute_exists(tenant) AND #status <> :deleting")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":deleting", item::text(TenantStatus::Deleting.as_str()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        self.update_with(update, entry).await
    }
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
