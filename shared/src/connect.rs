//! Connecting: from an opened link to a stored connection.
//!
//! The order of the steps in [`complete_flow`] keeps the grant safe. The data keys are created before the code is
//! exchanged, the code is exchanged at most once, the tokens are stored before one of them is used, and the session of a
//! pair that can't be stored is ended at RingCentral. The set-up of numbers and subscription follows (`setup.rs`) and can
//! be retried.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::circuit_breaker::{self, Breaker, Permit};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::connect_token::{
    BrowserKey, ConnectToken, DONE_COOKIE, Flow, FlowStatus, Link, LinkState, flow_end, is_random_secret,
};
use crate::model::connection::{
    Connection, ConnectionStatus, ConsentFeed, RefreshState, Revocation, SealedPair, SealedToken, Setup,
    access_expiry, refresh_expiry,
};
use crate::model::ids::{ConnectionId, ExtensionId};
use crate::model::refresh::{half_life, random_jitter_percent};
use crate::model::secret::Secret;
use crate::retry::{Attempt, retry_on_conflict};
use crate::revocation;
use crate::ringcentral::oauth::{AuthorizeRequest, CodeExchange, CodeVerifier, TokenOptions};
use crate::ringcentral::{AccessToken, Client, ErrorKind, RefreshToken, TokenSet};
use crate::store::{
    ClaimFlowOutcome, DeleteFlowOutcome, NewConnection, StartFlowOutcome, Store, StoreConnectionOutcome,
    StoreError,
};
use crate::vault::{Binding, DataKey, Owner, Purpose};

/// Why a browser's flow can't continue. Each reason has its own page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowRejection {
    /// The link has no token.
    LinkMissing,
    /// The token was never issued, or was deleted long ago.
    LinkUnknown,
    LinkExpired,
    /// A connection was stored with this link.
    LinkUsed,
    /// The link's button was pressed in another browser.
    LinkBoundElsewhere,
    /// The link's button was pressed, or codes were exchanged with it, as often as a link allows.
    LinkExhausted,
    /// The tenant is suspended or deleted.
    TenantUnavailable,
    /// The form was sent from another site.
    CrossSite,
    /// RingCentral's redirect has no state, or neither a code nor an error.
    CallbackIncomplete,
    /// The state is unknown, expired, or does not belong to this browser.
    FlowUnknown,
    /// Another callback of the same flow was first.
    AlreadyHandled,
    /// The user denied access at RingCentral.
    Denied,
    /// RingCentral's redirect contains another error.
    ProviderError,
    /// RingCentral rejects the code: it is expired, used, or belongs to another flow.
    CodeRejected,
    /// The exchange returned no usable response. The code is used up; the user may press the button again.
    ExchangeFailed,
    /// A service that is needed does not respond. The code is not used up. Try again after this time.
    Busy(Duration),
    /// The RingCentral app is not configured correctly. Only the operator can correct that.
    Misconfigured,
    /// Another tenant has connected this extension.
    ConnectedElsewhere,
}

#[derive(Debug)]
pub enum FlowError {
    /// The browser gets a page with instructions.
    Rejected(FlowRejection),
    /// The gateway failed.
    Internal(Error),
}

impl From<FlowRejection> for FlowError {
    fn from(rejection: FlowRejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<StoreError> for FlowError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<Error> for FlowError {
    fn from(error: Error) -> Self {
        Self::Internal(error)
    }
}

/// What the success page shows.
#[derive(Debug)]
pub struct CompletedFlow {
    /// The tenant's name when the link was created.
    pub tenant_name: String,
    pub return_url: Option<String>,
}

/// The flow that this browser has completed, until it expires.
pub async fn completed_flow(gateway: &Gateway, cookies: impl Cookies) -> Result<Option<CompletedFlow>> {
    let Some(id) = cookies(DONE_COOKIE).filter(|id| id.len() == 64) else { return Ok(None) };
    let flow = gateway.store.flow(&id).await?.filter(|flow| flow.status == FlowStatus::Done);
    Ok(flow.map(|flow| CompletedFlow { tenant_name: flow.tenant_name, return_url: flow.return_url }))
}

/// The link of a token, if this browser may press its button. Changes nothing.
pub async fn find_open_link(
    gateway: &Gateway,
    token: Option<&str>,
    cookies: impl Cookies,
) -> Result<(ConnectToken, Link), FlowError> {
    let token = token.ok_or(FlowRejection::LinkMissing)?;
    let token = ConnectToken::parse(token).ok_or(FlowRejection::LinkUnknown)?;
    let digest = token.digest();
    let link = gateway.store.link(&digest).await?.ok_or(FlowRejection::LinkUnknown)?;
    let browser = browser_key(&digest, cookies).map(|key| key.digest());
    match link.state(browser.as_deref(), gateway.clock.now()) {
        LinkState::Open => Ok((token, link)),
        closed => Err(link_rejection(closed).into()),
    }
}

/// Returns the value of a cookie.
pub trait Cookies: Fn(&str) -> Option<String> {}
impl<F: Fn(&str) -> Option<String>> Cookies for F {}

/// Name and value of the cookie that the confirmation page sets. It identifies the browser: a double click, or a repeated
/// press after a lost response, counts as the same browser. The key is stored when the button is pressed, so opening the
/// page writes nothing.
pub fn browser_cookie(token: &ConnectToken, cookies: impl Cookies) -> (String, BrowserKey) {
    let link = token.digest();
    let key = browser_key(&link, cookies).unwrap_or_else(BrowserKey::generate);
    (BrowserKey::cookie_name(&link), key)
}

/// Lifetime of a link's cookie. It covers the link, whose browser may press the button again, and the flow. A flow ends
/// after ten minutes even if the cookie lives longer.
pub fn cookie_seconds(link: &Link, now: Timestamp) -> i64 {
    link.expires_at.duration_since(now).as_secs().max(limits::FLOW_SECONDS)
}

fn browser_key(link: &str, cookies: impl Cookies) -> Option<BrowserKey> {
    BrowserKey::parse(&cookies(&BrowserKey::cookie_name(link))?)
}

fn link_rejection(state: LinkState) -> FlowRejection {
    match state {
        LinkState::BoundElsewhere => FlowRejection::LinkBoundElsewhere,
        LinkState::Used => FlowRejection::LinkUsed,
        LinkState::Exhausted => FlowRejection::LinkExhausted,
        LinkState::Expired | LinkState::Open => FlowRejection::LinkExpired,
    }
}

/// The redirect to RingCentral, with the flow's cookie.
#[derive(Debug)]
pub struct AuthorizationRedirect {
    pub authorize_url: Url,
    pub cookie_name: String,
    pub key: BrowserKey,
    pub cookie_seconds: i64,
}

/// Binds the link to this browser and starts a flow, after the button was pressed.
pub async fn start_flow(
    gateway: &Gateway,
    token: Option<&str>,
    cookies: impl Cookies,
) -> Result<AuthorizationRedirect, FlowError> {
    let (token, link) = find_open_link(gateway, token, &cookies).await?;
    let cookie_seconds = cookie_seconds(&link, gateway.clock.now());
    let digest = token.digest();
    let key = browser_key(&digest, &cookies).unwrap_or_else(BrowserKey::generate);
    let state = Secret::random();
    let flow = Flow {
        id: state.digest(),
        tenant: link.tenant,
        tenant_name: link.tenant_name,
        link: digest,
        browser: key.digest(),
        issuer: gateway.config.ringcentral_server.clone(),
        redirect_uri: gateway.config.redirect_uri(),
        connection: ConnectionId::generate(),
        return_url: link.return_url,
        status: FlowStatus::Started,
        expires_at: flow_end(gateway.clock.now()),
    };
    match gateway.store.start_flow(&flow).await? {
        StartFlowOutcome::Started => {}
        StartFlowOutcome::LinkUnavailable(state) => return Err(link_rejection(state).into()),
        StartFlowOutcome::TenantUnavailable => return Err(FlowRejection::TenantUnavailable.into()),
    }
    let verifier = verifier(&key, &flow)?;
    let request = AuthorizeRequest::new(state.expose())
        .redirect_uri(&flow.redirect_uri)
        .challenge(verifier.challenge());
    Ok(AuthorizationRedirect {
        authorize_url: gateway.ringcentral()?.authorize_url(&request),
        cookie_name: BrowserKey::cookie_name(&flow.link),
        key,
        cookie_seconds,
    })
}

fn verifier(key: &BrowserKey, flow: &Flow) -> Result<CodeVerifier> {
    CodeVerifier::new(key.verifier(&flow.id, &flow.issuer))
        .map_err(|error| Error::internal("PKCE verifier", error))
}

/// The parameters of RingCentral's redirect.
#[derive(Debug, Default)]
pub struct Callback {
    pub code: Option<Secret>,
    pub state: Option<Secret>,
    /// Present instead of a code.
    pub error: Option<String>,
}

/// The flow of this browser that a callback belongs to. Changes nothing.
pub async fn find_flow(
    gateway: &Gateway,
    callback: &Callback,
    cookies: impl Cookies,
) -> Result<(Flow, BrowserKey), FlowError> {
    let state = callback.state.as_ref().ok_or(FlowRejection::CallbackIncomplete)?;
    if callback.code.is_none() && callback.error.is_none() {
        return Err(FlowRejection::CallbackIncomplete.into());
    }
    if !is_random_secret(state.expose()) {
        return Err(FlowRejection::FlowUnknown.into());
    }
    let flow = gateway.store.flow(&state.digest()).await?.ok_or(FlowRejection::FlowUnknown)?;
    // A deployment uses one RingCentral server. A flow that started before it was changed can't be completed.
    if flow.issuer != gateway.config.ringcentral_server {
        return Err(FlowRejection::FlowUnknown.into());
    }
    if cookies(DONE_COOKIE).as_ref() == Some(&flow.id) {
        return Err(FlowRejection::AlreadyHandled.into());
    }
    let key = browser_key(&flow.link, cookies).filter(|key| key.digest() == flow.browser);
    let key = key.ok_or(FlowRejection::FlowUnknown)?;
    if flow.status != FlowStatus::Started {
        return Err(FlowRejection::AlreadyHandled.into());
    }
    Ok((flow, key))
}

/// A connection that was just stored.
#[derive(Debug)]
pub struct StoredConnection {
    pub connection: Connection,
    /// The access token, for the set-up.
    pub access: AccessToken,
    /// The session of the connection that was replaced.
    pub replaced: Option<Revocation>,
}

/// Exchanges the code and stores the connection, before the deadline. After the code was sent, a failed flow is deleted.
/// Before that, the same callback may come again.
pub async fn complete_flow(
    gateway: &Gateway,
    audit: &AuditContext,
    callback: Callback,
    flow: &Flow,
    key: &BrowserKey,
    deadline: Timestamp,
) -> Result<StoredConnection, FlowError> {
    if let Some(error) = &callback.error {
        gateway.store.delete_flow(&flow.id).await?;
        let is_denied = error == "access_denied";
        return Err(if is_denied { FlowRejection::Denied } else { FlowRejection::ProviderError }.into());
    }
    // Everything that needs AWS comes first: if it fails, the code is still valid.
    let owner = |purpose| Owner { tenant: &flow.tenant, subject: flow.connection.as_str(), purpose };
    let (access_key, refresh_key) = tokio::try_join!(
        gateway.vault().new_key(owner(Purpose::Access)),
        gateway.vault().new_key(owner(Purpose::Refresh)),
    )
    .map_err(Error::from)?;
    let client = gateway.ringcentral_app().await?.with_timeout(Duration::from_millis(limits::TOKEN_CALL_MS));
    let mut breaker = Breaker::for_sign_in(&flow.issuer, &flow.tenant);
    if let Permit::RetryAfter(wait) = breaker.acquire_permit(gateway).await? {
        return Err(FlowRejection::Busy(wait).into());
    }
    let needed = SignedDuration::from_millis(limits::EXCHANGE_NEEDS_MS.cast_signed());
    if saturating_add(gateway.clock.now(), needed) >= deadline {
        return Err(FlowRejection::Busy(Duration::from_secs(5)).into());
    }
    match gateway.store.claim_flow(flow).await? {
        ClaimFlowOutcome::Claimed => {}
        ClaimFlowOutcome::AlreadyHandled => return Err(FlowRejection::AlreadyHandled.into()),
        ClaimFlowOutcome::LinkExhausted => return Err(FlowRejection::LinkExhausted.into()),
    }
    let keys = Keys { access: access_key, refresh: refresh_key };
    let stored = match exchange_code(gateway, &client, &breaker, callback, flow, key).await {
        Ok(tokens) => store_tokens(gateway, audit, flow, &tokens, &keys).await,
        Err(error) => Err(StoreTokensError::NotStored(error)),
    };
    match stored {
        Ok(stored) => Ok(stored),
        Err(StoreTokensError::Unknown(error)) => Err(error),
        Err(StoreTokensError::NotStored(error)) => {
            if let Err(error) = gateway.store.delete_flow(&flow.id).await {
                tracing::warn!(tenant.id = %flow.tenant, error = Error::from(error).chain(), "failed flow could not be deleted; it expires");
            }
            Err(error)
        }
    }
}

/// Exchanges the code. There is no second attempt with the same code.
async fn exchange_code(
    gateway: &Gateway,
    client: &Client,
    breaker: &Breaker,
    callback: Callback,
    flow: &Flow,
    key: &BrowserKey,
) -> Result<TokenSet, FlowError> {
    let code = callback.code.ok_or(FlowRejection::CallbackIncomplete)?;
    let exchange = CodeExchange::new(code).redirect_uri(&flow.redirect_uri).verifier(verifier(key, flow)?);
    let error = match client.exchange_code(&exchange, &TokenOptions::default()).await {
        Ok(tokens) => {
            breaker.record_response(gateway).await;
            return Ok(tokens);
        }
        Err(error) => error,
    };
    if matches!(error.kind(), ErrorKind::AppConfiguration | ErrorKind::Grant(_)) {
        // An error response that is not a penalty.
        breaker.record_response(gateway).await;
    }
    let rejection = match error.kind() {
        ErrorKind::AppConfiguration => FlowRejection::Misconfigured,
        ErrorKind::Grant(_) => FlowRejection::CodeRejected,
        ErrorKind::RateLimited => {
            let until = circuit_breaker::penalty_end(gateway, error.retry(), 0);
            breaker.record_rate_limited(gateway, until).await;
            FlowRejection::Busy(until.duration_since(gateway.clock.now()).try_into().unwrap_or_default())
        }
        ErrorKind::Connect => FlowRejection::Busy(Duration::from_secs(10)),
        _ => FlowRejection::ExchangeFailed,
    };
    if rejection == FlowRejection::Misconfigured {
        gateway.app_rejected().await;
    }
    tracing::warn!(tenant.id = %flow.tenant, error = %error, "code exchange failed");
    Err(rejection.into())
}

/// Alerts the operator: template.yaml has an alarm on log lines with this field.
fn alert_operator(flow: &Flow, problem: &str) {
    tracing::error!(alarm = "ringcentral_app", tenant.id = %flow.tenant, problem, "RingCentral app is misconfigured");
}

struct Keys {
    access: DataKey,
    refresh: DataKey,
}

/// A token pair that only this process has, with everything that a connection needs.
struct ReceivedTokens<'a> {
    audit: &'a AuditContext,
    flow: &'a Flow,
    keys: &'a Keys,
    tokens: &'a TokenSet,
    refresh: &'a RefreshToken,
    extension: &'a ExtensionId,
}

enum StoreTokensError {
    /// The tokens were not stored: their session is to be ended.
    NotStored(FlowError),
    /// DynamoDB's response was lost, and the tokens may be stored: ending the session could break a stored connection.
    Unknown(FlowError),
}

impl<E: Into<FlowError>> From<E> for StoreTokensError {
    fn from(error: E) -> Self {
        Self::NotStored(error.into())
    }
}

/// Stores the tokens as a connection, or ends their session at RingCentral.
async fn store_tokens(
    gateway: &Gateway,
    audit: &AuditContext,
    flow: &Flow,
    tokens: &TokenSet,
    keys: &Keys,
) -> Result<StoredConnection, StoreTokensError> {
    let extension = tokens.owner_id.and_then(|id| ExtensionId::parse(&id.to_string()));
    let (Some(refresh), Some(extension)) = (&tokens.refresh_token, &extension) else {
        alert_operator(
            flow,
            "the setting \"Issue refresh tokens\" is off, or the token response contains no owner id",
        );
        let breaker = match &extension {
            Some(extension) => Breaker::for_revocation(&flow.issuer, &flow.tenant, extension),
            None => Breaker::for_sign_in(&flow.issuer, &flow.tenant),
        };
        if let Err(error) = revocation::end_session(gateway, breaker, &tokens.access_token).await {
            tracing::warn!(tenant.id = %flow.tenant, error = error.chain(), "session could not be ended; it expires");
        }
        return Err(FlowRejection::Misconfigured.into());
    };
    let received = ReceivedTokens { audit, flow, keys, tokens, refresh, extension };
    let error = if tokens.scope.iter().any(|scope| scope == "SMS") {
        match received.store(gateway).await {
            Ok(stored) => return Ok(stored),
            Err(error) => error,
        }
    } else {
        alert_operator(flow, "the permission SMS is missing");
        StoreTokensError::from(FlowRejection::Misconfigured)
    };
    if let StoreTokensError::NotStored(_) = &error {
        received.end_session(gateway).await;
    }
    Err(error)
}

impl ReceivedTokens<'_> {
    async fn store(&self, gateway: &Gateway) -> Result<StoredConnection, StoreTokensError> {
        let busy = || FlowRejection::Busy(Duration::from_secs(5)).into();
        retry_on_conflict(limits::CONFLICT_ATTEMPTS, busy, || self.try_to_store(gateway)).await
    }

    async fn try_to_store(&self, gateway: &Gateway) -> Result<Attempt<StoredConnection>, StoreTokensError> {
        let (flow, store) = (self.flow, &gateway.store);
        let owner = store
            .extension_owner_of_any_tenant(&flow.issuer, self.extension, &flow.tenant)
            .await
            .map_err(FlowError::from)?;
        let old = match &owner {
            Some(owner) if owner.tenant != flow.tenant => {
                return Err(FlowRejection::ConnectedElsewhere.into());
            }
            Some(owner) => {
                store.removable_connection(&flow.tenant, &owner.connection).await.map_err(FlowError::from)?
            }
            None => None,
        };
        let connected_at = owner.as_ref().map(|owner| owner.connected_at);
        let readable = old.as_ref().and_then(|old| old.connection.as_ref());
        let connection = self.connection(gateway.clock.now(), connected_at, readable);
        let new = NewConnection {
            connection: &connection,
            flow,
            owner: owner.as_ref(),
            replaces: old.as_ref(),
            audit_entry: AuditEntry {
                context: self.audit,
                action: Action::ExtensionConnected,
                tenant: &flow.tenant,
                subject: self.extension.as_str(),
                fields: &[],
            },
        };
        match store.store_connection(&new).await {
            Ok(StoreConnectionOutcome::Stored) => {}
            Ok(StoreConnectionOutcome::Conflict) => return Ok(Attempt::Conflict),
            Ok(StoreConnectionOutcome::LinkUsed) => return Err(FlowRejection::LinkUsed.into()),
            Ok(StoreConnectionOutcome::TenantUnavailable) => {
                return Err(FlowRejection::TenantUnavailable.into());
            }
            Err(error) => resolve_lost_response(store, flow, error).await?,
        }
        tracing::info!(tenant.id = %flow.tenant, connection.id = %connection.id, "extension connected");
        let replaced = old.and_then(|old| old.revocation);
        Ok(Attempt::Done(StoredConnection { connection, access: self.tokens.access_token.clone(), replaced }))
    }

    fn connection(
        &self,
        now: Timestamp,
        connected_at: Option<Timestamp>,
        old: Option<&Connection>,
    ) -> Connection {
        let generation = old.map_or(1, |old| old.generation + 1);
        let SealedPair { access, refresh } = self.seal(now, generation);
        let due = Some(half_life(now, refresh.expires_at, random_jitter_percent()));
        Connection {
            tenant: self.flow.tenant.clone(),
            id: self.flow.connection.clone(),
            extension: self.extension.clone(),
            issuer: self.flow.issuer.clone(),
            generation,
            status: ConnectionStatus::Active,
            access,
            refresh,
            scope: self.tokens.scope.join(" "),
            connected_at: connected_at.unwrap_or(now),
            authorized_at: now,
            identity: old.map(|old| old.identity.clone()).unwrap_or_default(),
            setup: Setup::default(),
            subscription: None,
            consents: ConsentFeed::default(),
            refresh_state: RefreshState { due, status_since: Some(now), ..RefreshState::default() },
            sync_due: None,
            rate_limited_until: old.and_then(|old| old.rate_limited_until),
        }
    }

    fn seal(&self, now: Timestamp, generation: u64) -> SealedPair {
        let flow = self.flow;
        let binding = Binding { generation, issuer: &flow.issuer };
        let seal = |key: &DataKey, purpose, text: &str, expires_at| SealedToken {
            token: key.seal(
                Owner { tenant: &flow.tenant, subject: flow.connection.as_str(), purpose },
                binding,
                &Secret::new(text),
            ),
            key: key.wrapped().clone(),
            expires_at,
        };
        let refresh_expires_at = refresh_expiry(self.tokens.refresh_expires_at, now);
        let access_expires_at = access_expiry(self.tokens.expires_at, now);
        let access_token = self.tokens.access_token.expose();
        SealedPair {
            access: seal(&self.keys.access, Purpose::Access, access_token, access_expires_at),
            refresh: seal(&self.keys.refresh, Purpose::Refresh, self.refresh.expose(), refresh_expires_at),
        }
    }

    /// Ends the session at RingCentral. If that fails, stores a revocation with the sealed pair for the sweep.
    async fn end_session(&self, gateway: &Gateway) {
        let breaker = Breaker::for_revocation(&self.flow.issuer, &self.flow.tenant, self.extension);
        let result = revocation::end_session(gateway, breaker, self.refresh).await;
        let Err(error) = result else { return };
        tracing::warn!(tenant.id = %self.flow.tenant, error = error.chain(), "session could not be ended; the sweep retries it");
        let generation = 1;
        let SealedPair { access, refresh } = self.seal(gateway.clock.now(), generation);
        let revocation = Revocation {
            tenant: self.flow.tenant.clone(),
            connection: self.flow.connection.clone(),
            extension: self.extension.clone(),
            issuer: self.flow.issuer.clone(),
            generation,
            access,
            refresh,
            subscriptions: Vec::new(),
            attempts: 0,
        };
        if let Err(error) = gateway.store.create_revocation(&revocation).await {
            tracing::error!(tenant.id = %self.flow.tenant, error = Error::from(error).chain(), "session could not be ended, and its revocation could not be stored");
        }
    }
}

/// Finds out whether a connection was stored when the transaction's response was lost. Deleting the flow decides: once it is
/// deleted, the transaction can't be applied any more; if it can't be deleted, the transaction was applied.
async fn resolve_lost_response(
    store: &Store,
    flow: &Flow,
    error: StoreError,
) -> Result<(), StoreTokensError> {
    const ATTEMPTS: u32 = 3;
    for _ in 0..ATTEMPTS {
        match store.delete_flow(&flow.id).await {
            Ok(DeleteFlowOutcome::Completed) => return Ok(()),
            Ok(DeleteFlowOutcome::Deleted) => return Err(StoreTokensError::NotStored(error.into())),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    Err(StoreTokensError::Unknown(error.into()))
}
