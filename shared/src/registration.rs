//! Tenants and apps: creating them.

use data_encoding::BASE64;
use url::Url;

use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::app::{ApiKey, App, KeyRecord, Scope};
use crate::model::ids::{AppId, TenantId};
use crate::model::secret::Secret;
use crate::model::tenant::{self, Tenant, TenantLimits, TenantStatus};
use crate::store::SealedSecret;
use crate::vault::{Binding, Owner, Purpose};

/// Creates an active tenant.
pub async fn create_tenant(
    gateway: &Gateway,
    name: String,
    limits: TenantLimits,
    return_url: Option<String>,
) -> Result<Tenant> {
    let tenant = Tenant {
        id: TenantId::generate(),
        name,
        status: TenantStatus::Active,
        limits,
        return_url,
        created_at: gateway.clock.now(),
    };
    gateway.store.create_tenant(&tenant).await?;
    tracing::info!(tenant.id = %tenant.id, "tenant created");
    Ok(tenant)
}

/// An app to be registered.
#[derive(Debug)]
pub struct AppOrder {
    /// The tenant.
    pub tenant: TenantId,
    /// The app's name.
    pub name: String,
    /// Where its events go.
    pub webhook_url: Option<String>,
    /// A word of the tenant's own for what the app is.
    pub role: Option<String>,
}

/// An app that was registered, with what is shown once.
#[derive(Debug)]
pub struct Registered {
    /// The app.
    pub app: App,
    /// Its first key, with all scopes.
    pub key: ApiKey,
    /// The secret that signs its webhooks, in the form of Standard Webhooks: `whsec_` and base64 of 32 bytes.
    pub webhook_secret: Secret,
}

/// Registers an app of an active tenant.
pub async fn register_app(gateway: &Gateway, order: AppOrder) -> Result<Registered> {
    let now = gateway.clock.now();
    let app = App {
        tenant: order.tenant,
        id: AppId::generate(),
        name: order.name,
        webhook_url: order.webhook_url,
        role: order.role,
        created_at: now,
    };
    let key = ApiKey::generate(&app.tenant);
    let record = KeyRecord {
        tenant: app.tenant.clone(),
        id: key.id().clone(),
        app: app.id.clone(),
        digest: key.digest(),
        scopes: Scope::ALL.to_vec(),
        created_at: now,
        expires_at: None,
    };
    let webhook_secret = new_webhook_secret();
    let owner = Owner { tenant: &app.tenant, subject: app.id.as_str(), purpose: Purpose::Webhook };
    let data_key = gateway.vault().new_key(owner).await?;
    let sealed = SealedSecret {
        secret: data_key.seal(owner, Binding { generation: 1, issuer: "ringbridge" }, &webhook_secret),
        key: data_key.wrapped().clone(),
    };
    if !gateway.store.register_app(&app, &record, &sealed).await? {
        return Err(Error::TenantUnavailable);
    }
    tracing::info!(tenant.id = %app.tenant, app.id = %app.id, "app registered");
    Ok(Registered { app, key, webhook_secret })
}

fn new_webhook_secret() -> Secret {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).expect("the system's random generator works");
    Secret::new(format!("whsec_{}", BASE64.encode(bytes.as_slice())))
}

/// A name that must be there.
pub fn name(text: Option<&str>) -> Result<String> {
    text.and_then(tenant::name).ok_or(Error::InvalidName)
}

/// A tenant's id as the operator writes it.
pub fn tenant_id(text: &str) -> Result<TenantId> {
    TenantId::from_record(text).ok_or(Error::InvalidId { kind: "tenantId" })
}

/// A status that the operator may set.
pub fn status(text: &str) -> Result<TenantStatus> {
    let wrong =
        || Error::InvalidField { text: "status must be active or suspended".to_owned(), field: "status" };
    TenantStatus::parse(text).ok_or_else(wrong)
}

/// A tenant's own word for what an app is: one line of 1 to 100 characters.
pub fn role(text: Option<String>) -> Result<Option<String>> {
    let wrong = || Error::InvalidField { text: "role must be 1-100 characters".to_owned(), field: "role" };
    text.map(|text| tenant::name(&text).ok_or_else(wrong)).transpose()
}

/// An address that events may be sent to.
pub fn webhook_url(config: &Config, text: Option<String>) -> Result<Option<String>> {
    match text {
        Some(text) if !is_webhook_url(config, &text) => Err(Error::InvalidWebhookUrl),
        other => Ok(other),
    }
}

/// An address that the page after success may link to.
pub fn return_url(config: &Config, text: Option<String>) -> Result<Option<String>> {
    match text {
        Some(text) if !is_return_url(config, &text) => Err(Error::InvalidField {
            text: "Invalid returnUrl: must be https:// in production, max 2000 chars".to_owned(),
            field: "returnUrl",
        }),
        other => Ok(other),
    }
}

/// True if events may be sent to an address: https, no user, no IP literal; http of this machine on the local stage.
fn is_webhook_url(config: &Config, text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    if text.chars().count() > limits::URL_CHARS || !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    match url.scheme() {
        "https" => matches!(url.host(), Some(url::Host::Domain(_))),
        "http" => config.allows_loopback_http() && matches!(url.host_str(), Some("localhost" | "127.0.0.1")),
        _ => false,
    }
}

/// True if the page after success may link to an address: https, no user; http of this machine on the local stage.
fn is_return_url(config: &Config, text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let plain =
        text.chars().count() <= limits::URL_CHARS && url.username().is_empty() && url.password().is_none();
    plain
        && (url.scheme() == "https"
            || (url.scheme() == "http" && config.allows_loopback_http() && config::is_loopback(&url)))
}

/// What the API shows of tenants and apps: the contract's field names.
pub mod views {
    use serde::{Deserialize, Serialize};

    use crate::error::{Error, Result};
    use crate::limits;
    use crate::model::tenant::TenantLimits;
    use crate::views::iso;

    /// Limits as the operator writes them.
    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct LimitsOrder {
        /// Requests of one app key in a minute.
        pub requests_per_minute: Option<u32>,
        /// Connect and invite tokens together in a rolling hour.
        pub connect_tokens_per_hour: Option<u32>,
    }

    impl LimitsOrder {
        /// The same if every value is within its bounds.
        pub fn check(self) -> Result<Self> {
            let bound = |value: Option<u32>, max, field| match value {
                Some(value) if !(1..=max).contains(&value) => {
                    Err(Error::InvalidField { text: format!("{field} must be 1-{max}"), field })
                }
                _ => Ok(()),
            };
            bound(self.requests_per_minute, limits::REQUESTS_PER_MINUTE_MAX, "limits.requestsPerMinute")?;
            bound(
                self.connect_tokens_per_hour,
                limits::CONNECT_TOKENS_PER_HOUR_MAX,
                "limits.connectTokensPerHour",
            )?;
            Ok(self)
        }

        /// With the product's own limits where nothing was said.
        pub fn or_default(self) -> TenantLimits {
            let usual = TenantLimits::default();
            TenantLimits {
                requests_per_minute: self.requests_per_minute.unwrap_or(usual.requests_per_minute),
                connect_tokens_per_hour: self
                    .connect_tokens_per_hour
                    .unwrap_or(usual.connect_tokens_per_hour),
            }
        }
    }

    /// A tenant.
    #[derive(Debug, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Tenant<'a> {
        tenant_id: &'a str,
        name: &'a str,
        status: &'static str,
        limits: LimitsView,
        #[serde(skip_serializing_if = "Option::is_none")]
        return_url: Option<&'a str>,
        created_at: String,
    }

    #[derive(Debug, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct LimitsView {
        requests_per_minute: u32,
        connect_tokens_per_hour: u32,
    }

    impl<'a> From<&'a crate::model::tenant::Tenant> for Tenant<'a> {
        fn from(tenant: &'a crate::model::tenant::Tenant) -> Self {
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
            }
        }
    }

    /// An app that was just registered, with what is shown once.
    #[derive(Debug, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Registered<'a> {
        app_id: &'a str,
        name: &'a str,
        api_key: &'a str,
        api_key_prefix: String,
        webhook_secret: &'a str,
        role: Option<&'a str>,
        tenant_id: &'a str,
    }

    impl<'a> From<&'a super::Registered> for Registered<'a> {
        fn from(registered: &'a super::Registered) -> Self {
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
}
