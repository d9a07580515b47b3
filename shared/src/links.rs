//! Creating connect links. `connect.rs` handles an opened link.

use jiff::SignedDuration;

use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::connect_token::{ConnectToken, Link};
use crate::model::display_text::display_text;
use crate::model::tenant::Tenant;
use crate::rate_limits;

#[derive(Debug, Clone)]
pub struct LinkOptions {
    pub lifetime: SignedDuration,
    /// A description for the person who opens the link.
    pub label: Option<String>,
    /// The success page links to this URL.
    pub return_url: Option<String>,
}

impl LinkOptions {
    pub fn with_lifetime_seconds(seconds: i64) -> Self {
        Self { lifetime: SignedDuration::from_secs(seconds), label: None, return_url: None }
    }
}

/// Validates the lifetime of an invite link: from one minute to seven days, half an hour by default.
pub fn invite_lifetime(seconds: Option<i64>) -> Result<SignedDuration> {
    let seconds = seconds.unwrap_or(limits::INVITE_TOKEN_SECONDS);
    if (limits::INVITE_TOKEN_MIN_SECONDS..=limits::INVITE_TOKEN_MAX_SECONDS).contains(&seconds) {
        return Ok(SignedDuration::from_secs(seconds));
    }
    let (min, max) = (limits::INVITE_TOKEN_MIN_SECONDS, limits::INVITE_TOKEN_MAX_SECONDS);
    Err(Error::InvalidField { text: format!("expiresIn must be {min}-{max} seconds"), field: "expiresIn" })
}

/// Validates the label of an invite link: one line of 1 to 100 characters.
pub fn invite_label(label: Option<String>) -> Result<Option<String>> {
    let Some(label) = label else { return Ok(None) };
    let invalid = || {
        let text = format!("label must be 1-{} characters", limits::LABEL_CHARS);
        Error::InvalidField { text, field: "label" }
    };
    display_text(&label, limits::LABEL_CHARS).map(Some).ok_or_else(invalid)
}

/// Creates a link for a tenant.
///
/// # Errors
/// [`Error::RateLimited`] if the tenant's limit for an hour is reached.
pub async fn create_link(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &Tenant,
    options: LinkOptions,
) -> Result<ConnectToken> {
    rate_limits::count_link(gateway, &tenant.id, tenant.limits.connect_tokens_per_hour).await?;
    let token = ConnectToken::generate();
    let now = gateway.clock.now();
    let link = Link {
        tenant: tenant.id.clone(),
        tenant_name: tenant.name.clone(),
        label: options.label,
        return_url: options.return_url.or_else(|| tenant.return_url.clone()),
        expires_at: saturating_add(now, options.lifetime),
        browser: None,
        used_at: None,
        starts: 0,
        exchanges: 0,
    };
    let digest = token.digest();
    let audit_entry = AuditEntry {
        context: audit,
        action: Action::LinkCreated,
        tenant: &tenant.id,
        // Long enough to identify the link, too short to find its token.
        subject: &format!("link_{}", &digest[..16]),
        fields: &[],
    };
    gateway.store.create_link(&digest, &link, &audit_entry).await?;
    Ok(token)
}
