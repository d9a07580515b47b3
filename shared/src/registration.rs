//! Tenants and apps: creating them, and what may be said of them. Apps and their keys are managed in `apps.rs`, tenants
//! are deleted in `deletion.rs`.

use data_encoding::BASE64;
use url::Url;

use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::app::{ApiKey, App, AppKind, KeyRecord, Scope};
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::event::EventKind;
use crate::model::ids::{AppId, TenantId};
use crate::model::phone::E164;
use crate::model::secret::Secret;
use crate::model::signature;
use crate::model::tenant::{self, Tenant, TenantLimits, TenantStatus};
use crate::outbound;
use crate::store::{Changed, SealedSecret, SigningSecrets, TenantChange};
use crate::vault::{Binding, Owner, Purpose};

/// How often a registration is tried again when others were faster.
const ATTEMPTS: u32 = 5;

/// Creates an active tenant.
pub async fn create_tenant(
    gateway: &Gateway,
    by: &AuditContext,
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
        cursor_key: Secret::random(),
        apps_registered: 0,
        created_at: gateway.clock.now(),
        deletion: None,
    };
    let action = Action::TenantCreated;
    let deed = AuditEntry { by, action, tenant: &tenant.id, subject: tenant.id.as_str(), fields: &[] };
    gateway.store.create_tenant(&tenant, &deed).await?;
    tracing::info!(tenant.id = %tenant.id, "tenant created");
    Ok(tenant)
}

/// Changes a tenant, unless it is being deleted.
pub async fn change_tenant(
    gateway: &Gateway,
    by: &AuditContext,
    id: &TenantId,
    change: &TenantChange,
) -> Result<Tenant> {
    let changed = [
        ("name", change.name.is_some()),
        ("status", change.status.is_some()),
        ("limits.requestsPerMinute", change.requests_per_minute.is_some()),
        ("limits.connectTokensPerHour", change.connect_tokens_per_hour.is_some()),
        ("returnUrl", change.return_url.is_some()),
    ];
    let fields: Vec<&'static str> =
        changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect();
    let action = match change.status {
        Some(TenantStatus::Suspended) => Action::TenantSuspended,
        Some(TenantStatus::Active) => Action::TenantResumed,
        Some(TenantStatus::Deleting) | None => Action::TenantChanged,
    };
    let deed = AuditEntry { by, action, tenant: id, subject: id.as_str(), fields: &fields };
    match gateway.store.change_tenant(id, change, &deed).await? {
        Changed::Yes => gateway.store.tenant(id).await?.ok_or(Error::NotFound),
        Changed::Absent => Err(Error::NotFound),
        Changed::Moved => Err(Error::TenantDeleting),
    }
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
    /// Which events it is told of; of all if there is nothing here.
    pub event_types: Vec<EventKind>,
    /// Of which numbers; of all if there is nothing here.
    pub numbers: Vec<E164>,
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
pub async fn register_app(gateway: &Gateway, by: &AuditContext, order: AppOrder) -> Result<Registered> {
    let now = gateway.clock.now();
    let key = ApiKey::generate(&order.tenant);
    let app = App {
        tenant: order.tenant,
        id: AppId::generate(),
        kind: AppKind::Program,
        name: order.name,
        webhook_url: order.webhook_url,
        event_types: order.event_types,
        numbers: order.numbers,
        role: order.role,
        main_key: Some(key.id().clone()),
        keys: vec![key.id().clone()],
        created_at: now,
    };
    let record = KeyRecord::of(&key, &app.id, Scope::ALL.to_vec(), now);
    let webhook_secret = new_webhook_secret();
    let sealed =
        seal_webhook_secret(gateway, &app.tenant, &app.id, FIRST_GENERATION, &webhook_secret).await?;
    let action = Action::AppRegistered;
    let deed = AuditEntry { by, action, tenant: &app.tenant, subject: app.id.as_str(), fields: &[] };
    if !add(gateway, &app, Some(&record), &sealed, &deed).await? {
        return Err(Error::TenantUnavailable);
    }
    tracing::info!(tenant.id = %app.tenant, app.id = %app.id, "app registered");
    Ok(Registered { app, key, webhook_secret })
}

/// A flow of Power Automate that wants to be told of texts that come in.
#[derive(Debug)]
pub struct TriggerOrder {
    /// Where the flow is called.
    pub callback_url: String,
    /// The number whose texts it is told of; of all if there is none.
    pub number: Option<E164>,
}

/// Subscribes a flow: an app without keys, which a flow makes and takes away by itself.
pub async fn create_trigger(
    gateway: &Gateway,
    by: &AuditContext,
    tenant: &TenantId,
    order: TriggerOrder,
) -> Result<App> {
    let app = App {
        tenant: tenant.clone(),
        id: AppId::generate(),
        kind: AppKind::Trigger,
        name: "Power Automate".to_owned(),
        webhook_url: Some(order.callback_url),
        event_types: vec![EventKind::SmsInbound],
        numbers: order.number.into_iter().collect(),
        role: None,
        main_key: None,
        keys: Vec::new(),
        created_at: gateway.clock.now(),
    };
    let secret = new_webhook_secret();
    let sealed = seal_webhook_secret(gateway, tenant, &app.id, FIRST_GENERATION, &secret).await?;
    let deed =
        AuditEntry { by, action: Action::TriggerCreated, tenant, subject: app.id.as_str(), fields: &[] };
    if !add(gateway, &app, None, &sealed, &deed).await? {
        return Err(Error::TenantSuspended);
    }
    tracing::info!(tenant.id = %tenant, app.id = %app.id, "trigger created");
    Ok(app)
}

/// Writes an app, if its tenant has room for one more. False if the tenant is absent or not active.
async fn add(
    gateway: &Gateway,
    app: &App,
    first_key: Option<&KeyRecord>,
    webhook: &SealedSecret,
    deed: &AuditEntry<'_>,
) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        let tenant = gateway.store.tenant(&app.tenant).await?;
        let Some(tenant) = tenant.filter(|tenant| tenant.status == TenantStatus::Active) else {
            return Ok(false);
        };
        // Whoever registers one meanwhile takes some of the room that is seen here: only then is it looked at again.
        let room = limits::APPS_PER_TENANT.saturating_sub(gateway.store.app_count(&tenant.id).await?);
        if room == 0 {
            return Err(Error::TooManyApps);
        }
        let most = tenant.apps_registered + room;
        if gateway.store.register_app(app, first_key, webhook, most, deed).await? {
            return Ok(true);
        }
    }
    Err(Error::unavailable("a tenant that others keep registering apps for", "registering an app"))
}

/// Seals an app's webhook secret with a data key of its own. One KMS call.
pub(crate) async fn seal_webhook_secret(
    gateway: &Gateway,
    tenant: &TenantId,
    app: &AppId,
    generation: u64,
    secret: &Secret,
) -> Result<SealedSecret> {
    let owner = Owner { tenant, subject: app.as_str(), purpose: Purpose::Webhook };
    let data_key = gateway.vault().new_key(owner).await?;
    Ok(SealedSecret {
        secret: data_key.seal(owner, Binding { generation, issuer: WEBHOOK_ISSUER }, secret),
        key: data_key.wrapped().clone(),
        generation,
    })
}

/// Opens the webhook secrets that sign an app's events now. At most one KMS call for each.
pub(crate) async fn open_webhook_secrets(
    gateway: &Gateway,
    app: &App,
    sealed: &SigningSecrets,
) -> Result<Vec<Secret>> {
    let owner = Owner { tenant: &app.tenant, subject: app.id.as_str(), purpose: Purpose::Webhook };
    let mut secrets = Vec::new();
    for sealed in std::iter::once(&sealed.current).chain(sealed.replaced.iter().map(|(secret, _)| secret)) {
        let binding = Binding { generation: sealed.generation, issuer: WEBHOOK_ISSUER };
        secrets.push(gateway.vault().open(owner, binding, &sealed.key, &sealed.secret).await?);
    }
    Ok(secrets)
}

/// Which webhook secret of an app its first one is.
const FIRST_GENERATION: u64 = 1;
/// Webhook secrets are our own.
const WEBHOOK_ISSUER: &str = "ringbridge";

/// A new webhook secret, in the form of Standard Webhooks.
pub(crate) fn new_webhook_secret() -> Secret {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).expect("the system's random generator works");
    Secret::new(format!("{}{}", signature::SECRET_PREFIX, BASE64.encode(bytes.as_slice())))
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
    TenantStatus::parse(text).filter(|status| *status != TenantStatus::Deleting).ok_or_else(wrong)
}

/// A tenant's own word for what an app is: one line of 1 to 100 characters.
pub fn role(text: Option<String>) -> Result<Option<String>> {
    let wrong = || Error::InvalidField { text: "role must be 1-100 characters".to_owned(), field: "role" };
    text.map(|text| tenant::name(&text).ok_or_else(wrong)).transpose()
}

/// Which events an app is told of, as a program writes them.
pub fn event_types(words: Option<Vec<String>>) -> Result<Vec<EventKind>> {
    let mut kinds = Vec::new();
    for (at, word) in words.unwrap_or_default().iter().enumerate() {
        let known = || EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
        let kind = EventKind::parse(word).ok_or_else(|| Error::InvalidItem {
            text: format!("eventTypes[{at}] must be one of {}", known()),
            field: format!("eventTypes[{at}]"),
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// Of which of its tenant's numbers an app is told, as a program writes them.
pub fn numbers(texts: Option<Vec<String>>) -> Result<Vec<E164>> {
    let texts = texts.unwrap_or_default();
    if texts.len() > limits::APP_NUMBERS {
        let text = format!("numbers must be at most {}", limits::APP_NUMBERS);
        return Err(Error::InvalidField { text, field: "numbers" });
    }
    let wrong = |at: usize| Error::InvalidItem {
        text: format!("numbers[{at}] must be a valid E.164 phone number"),
        field: format!("numbers[{at}]"),
    };
    texts.iter().enumerate().map(|(at, text)| E164::parse(text).ok_or_else(|| wrong(at))).collect()
}

/// An address that events may be sent to.
pub fn webhook_url(config: &Config, text: Option<String>) -> Result<Option<String>> {
    match text {
        Some(text) if !is_webhook_url(config, &text) => Err(Error::InvalidWebhookUrl),
        other => Ok(other),
    }
}

/// An address where a flow is called, as a program writes it.
pub fn callback_url(config: &Config, text: Option<String>) -> Result<String> {
    let text = text
        .filter(|text| !text.is_empty())
        .ok_or(Error::MissingField { text: "callbackUrl is required", field: "callbackUrl" })?;
    if !is_webhook_url(config, &text) {
        return Err(Error::InvalidField {
            text: "Invalid callbackUrl: must be https:// in production, max 2000 chars".to_owned(),
            field: "callbackUrl",
        });
    }
    Ok(text)
}

/// The number whose texts a flow is told of, as a program writes it.
pub fn trigger_number(text: Option<&str>) -> Result<Option<E164>> {
    let wrong = || Error::InvalidField {
        text: "phoneNumber must be a valid E.164 phone number".to_owned(),
        field: "phoneNumber",
    };
    text.map(|text| E164::parse(text).ok_or_else(wrong)).transpose()
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

/// An address as it is written: no white space, nothing that the parser would put right in silence.
fn plain_url(text: &str) -> Option<Url> {
    let is_plain =
        text.contains("://") && !text.chars().any(|c| c.is_whitespace() || tenant::is_invisible(c));
    is_plain.then(|| Url::parse(text).ok()).flatten()
}

/// True if events may be sent to an address: https, no user, no IP literal; http of this machine on the local stage.
fn is_webhook_url(config: &Config, text: &str) -> bool {
    plain_url(text).is_some()
        && text.chars().count() <= limits::URL_CHARS
        && outbound::may_be_tried(text, config.reach())
}

/// True if the page after success may link to an address: https, no user; http of this machine on the local stage.
fn is_return_url(config: &Config, text: &str) -> bool {
    let Some(url) = plain_url(text) else { return false };
    let plain =
        text.chars().count() <= limits::URL_CHARS && url.username().is_empty() && url.password().is_none();
    plain
        && (url.scheme() == "https"
            || (url.scheme() == "http" && config.allows_loopback_http() && config::is_loopback(&url)))
}
