//! The JSON of tenants, apps, keys and the audit log.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::model::app::{ApiKey, App, AppKind, KeyRecord};
use crate::model::audit::AuditRecord;
use crate::model::ids::KeyId;
use crate::model::phone::E164;
use crate::model::tenant::{Deletion, Tenant, TenantLimits};
use crate::registration::RegisteredApp;
use crate::views::iso;

/// The limits of a tenant in a request; absent ones have their default or are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsRequest {
    /// Requests of one API key in a rolling minute.
    #[schemars(range(min = 1, max = limits::REQUESTS_PER_MINUTE_MAX))]
    pub requests_per_minute: Option<u32>,
    /// Connect and invite tokens together in a rolling hour.
    #[schemars(range(min = 1, max = limits::CONNECT_TOKENS_PER_HOUR_MAX))]
    pub connect_tokens_per_hour: Option<u32>,
}

impl LimitsRequest {
    pub fn check(self) -> Result<Self> {
        let limit = |value: Option<u32>, max, field| match value {
            Some(value) if !(1..=max).contains(&value) => {
                Err(Error::InvalidField { text: format!("{field} must be 1-{max}"), field })
            }
            _ => Ok(()),
        };
        limit(self.requests_per_minute, limits::REQUESTS_PER_MINUTE_MAX, "limits.requestsPerMinute")?;
        limit(
            self.connect_tokens_per_hour,
            limits::CONNECT_TOKENS_PER_HOUR_MAX,
            "limits.connectTokensPerHour",
        )?;
        Ok(self)
    }

    pub fn or_default(self) -> TenantLimits {
        let default = TenantLimits::default();
        TenantLimits {
            requests_per_minute: self.requests_per_minute.unwrap_or(default.requests_per_minute),
            connect_tokens_per_hour: self.connect_tokens_per_hour.unwrap_or(default.connect_tokens_per_hour),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Tenant")]
pub struct TenantView<'a> {
    tenant_id: &'a str,
    name: &'a str,
    /// `active`, `suspended` or `deleting`.
    status: &'static str,
    limits: LimitsView,
    /// The URL that the success page links to, unless the invite has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<&'a str>,
    #[schemars(with = "Timestamp")]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<DeletionView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Limits")]
struct LimitsView {
    /// Requests of one API key in a rolling minute.
    requests_per_minute: u32,
    /// Connect and invite tokens together in a rolling hour.
    connect_tokens_per_hour: u32,
}

/// The progress of a deletion.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Deletion")]
struct DeletionView {
    #[schemars(with = "Timestamp")]
    ordered_at: String,
    /// Since when nothing can decrypt the sealed data of the tenant.
    #[schemars(with = "Option<Timestamp>")]
    data_keys_erased_at: Option<String>,
    /// Number of remaining items by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<BTreeMap<String, usize>>,
}

impl<'a> From<&'a Tenant> for TenantView<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        let deletion = |deletion: Deletion| DeletionView {
            ordered_at: iso(deletion.requested_at),
            data_keys_erased_at: deletion.keys_erased_at.map(iso),
            left: None,
        };
        Self {
            tenant_id: tenant.id.as_str(),
            name: &tenant.name,
            status: tenant.status.as_str(),
            limits: LimitsView {
                requests_per_minute: tenant.limits.requests_per_minute,
                connect_tokens_per_hour: tenant.limits.connect_tokens_per_hour,
            },
            return_url: tenant.return_url.as_deref(),
            created_at: iso(tenant.created_at),
            deletion: tenant.deletion.map(deletion),
        }
    }
}

impl TenantView<'_> {
    /// With the remaining items, by kind.
    #[must_use]
    pub fn with_remaining(mut self, remaining: BTreeMap<String, usize>) -> Self {
        if let Some(deletion) = &mut self.deletion {
            deletion.left = Some(remaining);
        }
        self
    }
}

/// `GET /v1/tenants`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenants<'a> {
    tenants: Vec<TenantView<'a>>,
    next_cursor: Option<String>,
}

impl<'a> Tenants<'a> {
    pub fn of(tenants: &'a [Tenant], next_cursor: Option<String>) -> Self {
        Self { tenants: tenants.iter().map(TenantView::from).collect(), next_cursor }
    }
}

/// The last use of each key of an app.
pub type Uses = HashMap<KeyId, Timestamp>;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "App")]
pub struct AppView<'a> {
    app_id: &'a str,
    /// `program`, or `trigger` for a Power Automate flow.
    kind: &'static str,
    name: &'a str,
    tenant_id: &'a str,
    role: Option<&'a str>,
    /// `null` for a flow: anyone with its URL can trigger it.
    webhook_url: Option<&'a str>,
    /// Only events of these types are delivered; all if empty.
    event_types: Vec<&'static str>,
    /// Only events of these numbers are delivered; all if empty. Events without a number are always delivered.
    numbers: Vec<&'a str>,
    /// The beginning of the main key.
    api_key_prefix: Option<String>,
    #[schemars(with = "Timestamp")]
    created_at: String,
    #[schemars(with = "Option<Timestamp>")]
    last_used_at: Option<String>,
}

impl<'a> AppView<'a> {
    pub fn of(app: &'a App, uses: Option<&Uses>) -> Self {
        Self {
            app_id: app.id.as_str(),
            kind: app.kind.as_str(),
            name: &app.name,
            tenant_id: app.tenant.as_str(),
            role: app.role.as_deref(),
            webhook_url: app.webhook_url.as_deref().filter(|_| app.kind == AppKind::Program),
            event_types: app.event_types.iter().map(|kind| kind.as_str()).collect(),
            numbers: app.numbers.iter().map(E164::as_str).collect(),
            api_key_prefix: app.main_key.as_ref().map(|id| id.key_prefix(&app.tenant)),
            created_at: iso(app.created_at),
            last_used_at: uses.and_then(|uses| uses.values().max()).copied().map(iso),
        }
    }
}

/// `GET /v1/apps`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Apps<'a> {
    apps: Vec<AppView<'a>>,
    next_cursor: Option<String>,
}

impl<'a> Apps<'a> {
    pub fn of(apps: Vec<AppView<'a>>, next_cursor: Option<String>) -> Self {
        Self { apps, next_cursor }
    }
}

/// A new subscription of a Power Automate flow.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewTrigger {
    id: String,
}

impl From<&App> for NewTrigger {
    fn from(app: &App) -> Self {
        Self { id: app.id.as_str().to_owned() }
    }
}

/// A key without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Key")]
pub struct KeyView {
    key_id: String,
    api_key_prefix: String,
    scopes: Vec<&'static str>,
    /// Where the key may be used from; anywhere if empty.
    allowed_ips: Vec<String>,
    /// True for the key that `POST /v1/apps/{appId}/rotate-key` replaces.
    is_main: bool,
    #[schemars(with = "Timestamp")]
    created_at: String,
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    #[schemars(with = "Option<Timestamp>")]
    last_used_at: Option<String>,
}

impl KeyView {
    pub fn of(record: &KeyRecord, app: &App, uses: Option<&Uses>) -> Self {
        Self {
            key_id: record.id.to_string(),
            api_key_prefix: record.prefix(),
            scopes: record.scopes.iter().map(|scope| scope.as_str()).collect(),
            allowed_ips: record.allowed_ips.iter().map(ToString::to_string).collect(),
            is_main: app.main_key.as_ref() == Some(&record.id),
            created_at: iso(record.created_at),
            expires_at: record.expires_at.map(iso),
            last_used_at: uses.and_then(|uses| uses.get(&record.id)).copied().map(iso),
        }
    }
}

/// `GET /v1/apps/{appId}/keys`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Keys {
    /// Oldest first.
    pub keys: Vec<KeyView>,
}

/// A new key. Its secret is shown only once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKey<'a> {
    key_id: &'a str,
    api_key: &'a str,
    api_key_prefix: String,
    scopes: Vec<&'static str>,
    allowed_ips: Vec<String>,
    #[schemars(with = "Timestamp")]
    created_at: String,
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
}

impl<'a> NewKey<'a> {
    pub fn of(key: &'a ApiKey, record: &'a KeyRecord) -> Self {
        Self {
            key_id: record.id.as_str(),
            api_key: key.expose(),
            api_key_prefix: key.prefix(),
            scopes: record.scopes.iter().map(|scope| scope.as_str()).collect(),
            allowed_ips: record.allowed_ips.iter().map(ToString::to_string).collect(),
            created_at: iso(record.created_at),
            expires_at: record.expires_at.map(iso),
        }
    }
}

/// The new main key. Its secret is shown only once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedKey<'a> {
    api_key: &'a str,
    api_key_prefix: String,
}

impl<'a> From<&'a ApiKey> for RotatedKey<'a> {
    fn from(key: &'a ApiKey) -> Self {
        Self { api_key: key.expose(), api_key_prefix: key.prefix() }
    }
}

/// A new webhook secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecret<'a> {
    pub webhook_secret: &'a str,
    /// Until then events are also signed with the previous secret.
    #[schemars(with = "Timestamp")]
    pub previous_expires_at: String,
}

/// `GET /v1/audit`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditLog<'a> {
    entries: Vec<EntryView<'a>>,
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Entry")]
struct EntryView<'a> {
    id: &'a str,
    #[schemars(with = "Timestamp")]
    at: String,
    actor: ActorView<'a>,
    action: &'a str,
    tenant_id: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<&'a str>,
    source_ip: Option<&'a str>,
    request_id: Option<&'a str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Actor")]
struct ActorView<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
}

impl<'a> AuditLog<'a> {
    pub fn of(entries: &'a [AuditRecord], next_cursor: Option<String>) -> Self {
        let view = |entry: &'a AuditRecord| EntryView {
            id: &entry.id,
            at: iso(entry.at),
            actor: ActorView { kind: entry.actor.as_str(), key_id: entry.actor.key().map(KeyId::as_str) },
            action: &entry.action,
            tenant_id: entry.tenant.as_str(),
            subject: &entry.subject,
            fields: entry.fields.iter().map(String::as_str).collect(),
            source_ip: entry.source.as_deref(),
            request_id: entry.request.as_deref(),
        };
        Self { entries: entries.iter().map(view).collect(), next_cursor }
    }
}

/// A new app. Its key and webhook secret are shown only once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Registered")]
pub struct RegisteredAppView<'a> {
    app_id: &'a str,
    name: &'a str,
    api_key: &'a str,
    api_key_prefix: String,
    webhook_secret: &'a str,
    role: Option<&'a str>,
    tenant_id: &'a str,
}

impl<'a> From<&'a RegisteredApp> for RegisteredAppView<'a> {
    fn from(registered: &'a RegisteredApp) -> Self {
        Self {
            app_id: registered.app.id.as_str(),
            name: &registered.app.name,
            api_key: registered.key.expose(),
            api_key_prefix: registered.key.prefix(),
            webhook_secret: registered.webhook_secret.expose(),
            role: registered.app.role.as_deref(),
            tenant_id: registered.app.tenant.as_str(),
        }
    }
}
