//! The settings of a tenant: the item `settings` in its partition of the table `tenants`.

use super::item::{self, Item, Writer};
use super::{Store, StoreError, failure};
use crate::model::ids::TenantId;
use crate::model::settings::TenantSettings;

impl Store {
    /// The defaults, if the tenant has set nothing.
    pub async fn settings(&self, tenant: &TenantId) -> Result<TenantSettings, StoreError> {
        let get = self.db.get_item().table_name(&self.tables.tenants).set_key(Some(settings_key(tenant)));
        let item = get.consistent_read(true).send().await.map_err(failure)?.item;
        let settings = self.read_one(&self.tables.tenants, item, |row| {
            serde_json::from_str(row.text("settings")?).map_err(|_| StoreError::Damaged("settings"))
        })?;
        Ok(settings.unwrap_or_default())
    }

    pub async fn save_settings(
        &self,
        tenant: &TenantId,
        settings: &TenantSettings,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(settings).map_err(|_| StoreError::Damaged("settings"))?;
        let row = Writer(settings_key(tenant)).set("settings", item::text(json));
        let put = self.db.put_item().table_name(&self.tables.tenants).set_item(Some(row.done()));
        put.send().await.map_err(failure).map(drop)
    }
}

fn settings_key(tenant: &TenantId) -> Item {
    item::key(tenant, "settings")
}
