//! Tenants, the customers of the operator.

use jiff::Timestamp;

use super::ids::TenantId;
use super::secret::Secret;
use super::settings::TenantSettings;
use super::string_enum::string_enum;
use crate::limits;

string_enum! {
    pub enum TenantStatus {
        Active = "active",
        /// Every request of the tenant is rejected; its data is kept.
        Suspended = "suspended",
        /// Deletion was requested. It can't be undone.
        Deleting = "deleting",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLimits {
    /// Requests of one API key in a rolling minute.
    pub requests_per_minute: u32,
    /// Requests of all API keys together in a rolling minute.
    pub tenant_requests_per_minute: u32,
    /// Connect and invite tokens together in a rolling hour.
    pub connect_tokens_per_hour: u32,
    /// Apps, Power Automate flows included.
    pub apps: u32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: limits::REQUESTS_PER_MINUTE,
            tenant_requests_per_minute: limits::TENANT_REQUESTS_PER_MINUTE,
            connect_tokens_per_hour: limits::CONNECT_TOKENS_PER_HOUR,
            apps: limits::APPS_PER_TENANT,
        }
    }
}

/// A customer of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The name that people see on the connect page.
    pub name: String,
    /// Whether it may use the product.
    pub status: TenantStatus,
    /// What it may do in a minute and in an hour.
    pub limits: TenantLimits,
    /// Where the page after a connection links back to, unless the invite says otherwise.
    pub return_url: Option<String>,
    /// What it decides about its messages.
    pub settings: TenantSettings,
    /// Signs the cursors of its lists.
    pub cursor_key: Secret,
    /// How many apps were ever registered for it: who registers one says how many may have been.
    pub apps_registered: usize,
    /// When it was created.
    pub created_at: Timestamp,
    /// How far its deletion has come, if it was ordered.
    pub deletion: Option<Deletion>,
}

/// The deletion of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    pub requested_at: Timestamp,
    /// Since when nothing can decrypt the sealed data of the tenant.
    pub keys_erased_at: Option<Timestamp>,
}

impl Tenant {
    pub fn is_active(&self) -> bool {
        self.status == TenantStatus::Active
    }
}
