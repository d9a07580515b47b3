//! Connecting: from a link to a stored connection.
//!
//! The order of things in [`finish`] is what keeps it safe: the data keys are made before the code is spent, the code is
//! spent once, the tokens are stored before one of them is used, and a pair that can't be stored is ended at
//! RingCentral. Numbers and the subscription come afterwards (`setup.rs`) and can be repeated.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::circuit_breaker::{self, Member, Pass};
use crate::clock::saturating_add;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::connect_token::{
    BrowserKey, ConnectToken, DONE_COOKIE, Flow, FlowStatus, Link, LinkState, flow_end, is_random_secret,
};
use crate::model::connection::{Connection, ConnectionStatus, Revocation, SealedToken, Setup};
use crate::model::event::EventKind;
use crate::model::ids::{ConnectionId, ExtensionId};
use crate::model::refresh::{Upkeep, half_life, jitter};
use crate::model::secret::Secret;
use crate::revocation;
use crate::ringcentral::oauth::{AuthorizeRequest, CodeExchange, CodeVerifier, TokenOptions};
use crate::ringcentral::{AccessToken, Client, Kind, RefreshToken, TokenSet};
use crate::store::{Claimed, Dropped, NewConnection, Started, Store, StoreError, Stored};
use crate::vault::{Binding, DataKey, Owner, Purpose};

/// Why a browser can't go on. Each has its own page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No token in the link.
    LinkMissing,
    /// A token that nobody has made, or that is long gone.
    LinkUnknown,
    /// Too late.
    LinkExpired,
    /// A connection came of it.
    LinkUsed,
    /// Another browser has pressed its button.
    LinkTaken,
    /// The tenant is suspended or gone.
    TenantUnavailable,
    /// The button was pressed from another site.
    CrossSite,
    /// RingCentral sent back neither code nor error, or no state.
    CallbackIncomplete,
    /// The state is unknown, expired, or not of this browser.
    FlowUnknown,
    /// Another callback of the same flow was first.
    AlreadyHandled,
    /// The person said no at RingCentral.
    Denied,
    /// RingCentral sent back another error.
    ProviderError,
    /// RingCentral does not take the code: too old, used, or of another flow.
    CodeRefused,
    /// The exchange gave no usable answer. The code is spent; the person may press the button again.
    ExchangeFailed,
    /// Something we need does not answer; nothing was spent, or it was given back. Try again after this.
    Busy(Duration),
    /// The app at RingCentral lacks something; only the operator can mend it.
    Misconfigured,
    /// Another tenant has this extension.
    ConnectedElsewhere,
}

/// A refusal for the browser, or an error of ours.
#[derive(Debug)]
pub enum Stop {
    /// A page that says what to do.
    Refused(Refusal),
    /// Something broke.
    Failed(Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What the page after success tells.
#[derive(Debug)]
pub struct Done {
    /// The tenant that was connected to, as its link has called it.
    pub tenant_name: String,
    /// Where the browser can go on to.
    pub return_url: Option<String>,
}

/// What the browser has just connected, while its flow is remembered.
pub async fn done(gateway: &Gateway, cookies: impl Cookies) -> Result<Option<Done>> {
    let Some(id) = cookies(DONE_COOKIE).filter(|id| id.len() == 64) else { return Ok(None) };
    let flow = gateway.store.flow(&id).await?.filter(|flow| flow.status == FlowStatus::Done);
    Ok(flow.map(|flow| Done { tenant_name: flow.tenant_name, return_url: flow.return_url }))
}

/// The link behind a token, if its button may be pressed. Changes nothing.
pub async fn look(
    gateway: &Gateway,
    token: Option<&str>,
    cookies: impl Cookies,
) -> Result<(ConnectToken, Link), Stop> {
    let token = token.ok_or(Refusal::LinkMissing)?;
    let token = ConnectToken::parse(token).ok_or(Refusal::LinkUnknown)?;
    let digest = token.digest();
    let link = gateway.store.link(&digest).await?.ok_or(Refusal::LinkUnknown)?;
    let browser = browser_key(&digest, cookies).map(|key| key.digest());
    match link.state(browser.as_deref(), gateway.clock.now()) {
        LinkState::Open => Ok((token, link)),
        closed => Err(refused(closed).into()),
    }
}

/// Finds a cookie's value by its name.
pub trait Cookies: Fn(&str) -> Option<String> {}
impl<F: Fn(&str) -> Option<String>> Cookies for F {}

/// Name and value of the cookie that a link's page gives to its browser, before the button is pressed: with it, a
/// double click or a press whose answer was lost is two presses of one browser, not of two. The key is stored by the
/// press only, so pages that scanners open cost nothing.
pub fn browser_cookie(token: &ConnectToken, cookies: impl Cookies) -> (String, BrowserKey) {
    let link = token.digest();
    let key = browser_key(&link, cookies).unwrap_or_else(BrowserKey::generate);
    (BrowserKey::cookie_name(&link), key)
}

/// How long a link's cookie lives: as long as a flow, and as long as the link, since its browser alone may press again
/// while the link lives. What a flow may do ends after ten minutes whatever the cookie says.
pub fn cookie_seconds(link: &Link, now: Timestamp) -> i64 {
    link.expires_at.duration_since(now).as_secs().max(limits::FLOW_SECONDS)
}

fn browser_key(link: &str, cookies: impl Cookies) -> Option<BrowserKey> {
    BrowserKey::parse(&cookies(&BrowserKey::cookie_name(link))?)
}

fn refused(state: LinkState) -> Refusal {
    match state {
        LinkState::Taken => Refusal::LinkTaken,
        LinkState::Used => Refusal::LinkUsed,
        LinkState::Expired | LinkState::Open => Refusal::LinkExpired,
    }
}

/// Where the browser goes now, and the cookie that it takes along.
#[derive(Debug)]
pub struct Departure {
    /// RingCentral's authorize page.
    pub authorize_url: Url,
    /// Name of the cookie.
    pub cookie: String,
    /// Its value.
    pub key: BrowserKey,
    /// How long it lives.
    pub seconds: i64,
}

/// The button was pressed: the link becomes this browser's, and a flow begins.
pub async fn start(gateway: &Gateway, token: Option<&str>, cookies: impl Cookies) -> Result<Departure, Stop> {
    let (token, link) = look(gateway, token, &cookies).await?;
    let seconds = cookie_seconds(&link, gateway.clock.now());
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
        Started::Yes => {}
        Started::No(state) => return Err(refused(state).into()),
        Started::TenantUnavailable => return Err(Refusal::TenantUnavailable.into()),
    }
    let verifier = verifier(&key, &flow)?;
    let request = AuthorizeRequest::new(state.expose())
        .redirect_uri(&flow.redirect_uri)
        .challenge(verifier.challenge());
    Ok(Departure {
        authorize_url: gateway.ringcentral()?.authorize_url(&request),
        cookie: BrowserKey::cookie_name(&flow.link),
        key,
        seconds,
    })
}

fn verifier(key: &BrowserKey, flow: &Flow) -> Result<CodeVerifier> {
    CodeVerifier::new(key.verifier(&flow.id, &flow.issuer))
        .map_err(|error| Error::internal("a PKCE verifier", error))
}

/// What RingCentral sends the browser back with.
#[derive(Debug, Default)]
pub struct Callback {
    /// The code.
    pub code: Option<Secret>,
    /// What we sent along.
    pub state: Option<Secret>,
    /// Set instead of a code when there is none.
    pub error: Option<String>,
}

/// The flow of this browser that a callback belongs to. Changes nothing.
pub async fn arrive(
    gateway: &Gateway,
    callback: &Callback,
    cookies: impl Cookies,
) -> Result<(Flow, BrowserKey), Stop> {
    let state = callback.state.as_ref().ok_or(Refusal::CallbackIncomplete)?;
    if callback.code.is_none() && callback.error.is_none() {
        return Err(Refusal::CallbackIncomplete.into());
    }
    if !is_random_secret(state.expose()) {
        return Err(Refusal::FlowUnknown.into());
    }
    let flow = gateway.store.flow(&state.digest()).await?.ok_or(Refusal::FlowUnknown)?;
    // One platform for a deployment: a flow from before its address was changed can't be finished.
    if flow.issuer != gateway.config.ringcentral_server {
        return Err(Refusal::FlowUnknown.into());
    }
    if cookies(DONE_COOKIE).as_ref() == Some(&flow.id) {
        return Err(Refusal::AlreadyHandled.into());
    }
    let key = browser_key(&flow.link, cookies).filter(|key| key.digest() == flow.browser);
    let key = key.ok_or(Refusal::FlowUnknown)?;
    if flow.status != FlowStatus::Started {
        return Err(Refusal::AlreadyHandled.into());
    }
    Ok((flow, key))
}

/// A connection that was just stored, with the access token to set it up with.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub connection: Connection,
    /// Its access token, durable since the connection was stored.
    pub access: AccessToken,
    /// The session that it replaces.
    pub replaced: Option<Revocation>,
}

/// Exchanges the code and stores the connection, before the deadline. Whatever fails from the moment that the code is
/// spent, nothing of the flow stays behind; before it, the same callback may come again.
pub async fn finish(
    gateway: &Gateway,
    by: &AuditContext,
    callback: Callback,
    flow: &Flow,
    key: &BrowserKey,
    deadline: Timestamp,
) -> Result<Arrival, Stop> {
    if let Some(error) = &callback.error {
        gateway.store.drop_flow(&flow.id).await?;
        let denied = error == "access_denied";
        return Err(if denied { Refusal::Denied } else { Refusal::ProviderError }.into());
    }
    // All that AWS has to do comes first: if it fails, the code is still good.
    let owner = |purpose| Owner { tenant: &flow.tenant, subject: flow.connection.as_str(), purpose };
    let (access_key, refresh_key) = tokio::try_join!(
        gateway.vault().new_key(owner(Purpose::Access)),
        gateway.vault().new_key(owner(Purpose::Refresh)),
    )
    .map_err(Error::from)?;
    let client = gateway.ringcentral_app().await?.with_timeout(Duration::from_millis(limits::TOKEN_CALL_MS));
    let mut member = Member::sign_in(&flow.issuer, &flow.tenant);
    if let Pass::After(wait) = member.pass(gateway).await? {
        return Err(Refusal::Busy(wait).into());
    }
    let needed = SignedDuration::from_millis(limits::EXCHANGE_NEEDS_MS.cast_signed());
    if saturating_add(gateway.clock.now(), needed) >= deadline {
        return Err(Refusal::Busy(Duration::from_secs(5)).into());
    }
    let claimant = Secret::random();
    if gateway.store.claim_flow(&flow.id, claimant.expose()).await? == Claimed::Handled {
        return Err(Refusal::AlreadyHandled.into());
    }
    let keys = Keys { access: access_key, refresh: refresh_key };
    let kept = match exchange(gateway, &client, &member, callback, flow, key).await {
        Ok(tokens) => keep(gateway, by, flow, &tokens, &keys).await,
        Err(stop) => Err(Unkept::Surely(stop)),
    };
    match kept {
        Ok(arrival) => Ok(arrival),
        Err(Unkept::Perhaps(stop)) => Err(stop),
        Err(Unkept::Surely(stop)) => {
            if let Err(error) = gateway.store.drop_flow(&flow.id).await {
                tracing::warn!(error = Error::from(error).chain(), "a failed flow is left to expire");
            }
            Err(stop)
        }
    }
}

/// One attempt to exchange the code; there is never a second with the same code.
async fn exchange(
    gateway: &Gateway,
    client: &Client,
    member: &Member,
    callback: Callback,
    flow: &Flow,
    key: &BrowserKey,
) -> Result<TokenSet, Stop> {
    let code = callback.code.ok_or(Refusal::CallbackIncomplete)?;
    let exchange = CodeExchange::new(code).redirect_uri(&flow.redirect_uri).verifier(verifier(key, flow)?);
    let error = match client.exchange_code(&exchange, &TokenOptions::default()).await {
        Ok(tokens) => {
            member.answered(gateway).await;
            return Ok(tokens);
        }
        Err(error) => error,
    };
    if matches!(error.kind(), Kind::OurConfiguration | Kind::Grant(_)) {
        // No penalty: others who wait may go on.
        member.answered(gateway).await;
    }
    let refusal = match error.kind() {
        Kind::OurConfiguration => Refusal::Misconfigured,
        Kind::Grant(_) => Refusal::CodeRefused,
        Kind::RateLimited => {
            let until = circuit_breaker::ends(gateway, error.retry(), 0);
            member.limited(gateway, until).await;
            Refusal::Busy(until.duration_since(gateway.clock.now()).try_into().unwrap_or_default())
        }
        Kind::Connect => Refusal::Busy(Duration::from_secs(10)),
        _ => Refusal::ExchangeFailed,
    };
    if refusal == Refusal::Misconfigured {
        gateway.app_is_refused().await;
    }
    tracing::warn!(tenant.id = %flow.tenant, error = %error, "a code was not exchanged");
    Err(refusal.into())
}

/// Wakes the operator: template.yaml has an alarm on lines with this field.
fn alarm(flow: &Flow, problem: &str) {
    tracing::error!(alarm = "ringcentral_app", tenant.id = %flow.tenant, problem, "the RingCentral app needs the operator");
}

struct Keys {
    access: DataKey,
    refresh: DataKey,
}

/// A pair of tokens that only this process knows so far.
struct Pair<'a> {
    by: &'a AuditContext,
    flow: &'a Flow,
    keys: &'a Keys,
    tokens: &'a TokenSet,
    refresh: &'a RefreshToken,
    extension: &'a ExtensionId,
}

/// Why a pair was not stored.
enum Unkept {
    /// It surely was not: its session is to be ended.
    Surely(Stop),
    /// It may have been, and DynamoDB does not say: ending the session could break a connection that stands.
    Perhaps(Stop),
}

impl<E: Into<Stop>> From<E> for Unkept {
    fn from(error: E) -> Self {
        Self::Surely(error.into())
    }
}

/// Stores the pair as a connection, or ends its session at RingCentral.
async fn keep(
    gateway: &Gateway,
    by: &AuditContext,
    flow: &Flow,
    tokens: &TokenSet,
    keys: &Keys,
) -> Result<Arrival, Unkept> {
    let extension = tokens.owner_id.and_then(|id| ExtensionId::parse(&id.to_string()));
    let (Some(refresh), Some(extension)) = (&tokens.refresh_token, &extension) else {
        alarm(flow, "its setting \"Issue refresh tokens\" is off, or the token endpoint names no owner");
        let whose = match &extension {
            Some(extension) => Member::leaving(&flow.issuer, &flow.tenant, extension),
            None => Member::sign_in(&flow.issuer, &flow.tenant),
        };
        if let Err(error) = revocation::end_session(gateway, whose, &tokens.access_token).await {
            tracing::warn!(tenant.id = %flow.tenant, error = error.chain(), "a session is left to expire");
        }
        return Err(Refusal::Misconfigured.into());
    };
    let pair = Pair { by, flow, keys, tokens, refresh, extension };
    let unkept = if tokens.scope.iter().any(|scope| scope == "SMS") {
        match pair.store(gateway).await {
            Ok(arrival) => return Ok(arrival),
            Err(unkept) => unkept,
        }
    } else {
        alarm(flow, "it lacks the permission SMS");
        Unkept::from(Refusal::Misconfigured)
    };
    if let Unkept::Surely(_) = &unkept {
        pair.discard(gateway).await;
    }
    Err(unkept)
}

/// How often a connection is stored again when the extension's state moves meanwhile.
const STORE_ATTEMPTS: u32 = 4;

impl Pair<'_> {
    async fn store(&self, gateway: &Gateway) -> Result<Arrival, Unkept> {
        let (flow, store) = (self.flow, &gateway.store);
        for _ in 0..STORE_ATTEMPTS {
            let claim = store.claim_of_any_tenant(&flow.issuer, self.extension).await.map_err(Stop::from)?;
            let old = match &claim {
                Some(claim) if claim.tenant != flow.tenant => return Err(Refusal::ConnectedElsewhere.into()),
                Some(claim) => store.connection(&flow.tenant, &claim.connection).await.map_err(Stop::from)?,
                None => None,
            };
            let connection =
                self.connection(gateway.clock.now(), claim.as_ref().map(|c| c.connected_at), old.as_ref());
            let new = NewConnection {
                connection: &connection,
                flow,
                claim: claim.as_ref(),
                replaces: old.as_ref(),
                deed: AuditEntry {
                    by: self.by,
                    action: Action::ExtensionConnected,
                    tenant: &flow.tenant,
                    subject: self.extension.as_str(),
                    fields: &[],
                },
                event: connection.event(EventKind::RcConnected, gateway.clock.now()),
            };
            match store.store_connection(&new).await {
                Ok(Stored::Yes) => {}
                Ok(Stored::Moved) => continue,
                Ok(Stored::LinkUsed) => return Err(Refusal::LinkUsed.into()),
                Ok(Stored::TenantUnavailable) => return Err(Refusal::TenantUnavailable.into()),
                Err(error) => settle(store, flow, error).await?,
            }
            tracing::info!(tenant.id = %flow.tenant, connection.id = %connection.id, "connected");
            let replaced = old.as_ref().map(Revocation::from);
            return Ok(Arrival { connection, access: self.tokens.access_token.clone(), replaced });
        }
        Err(Refusal::Busy(Duration::from_secs(5)).into())
    }

    fn connection(
        &self,
        now: Timestamp,
        connected_at: Option<Timestamp>,
        old: Option<&Connection>,
    ) -> Connection {
        let generation = old.map_or(1, |old| old.generation + 1);
        let (access, refresh) = self.seal(now, generation);
        let due = Some(half_life(now, refresh.expires_at, jitter()));
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
            upkeep: Upkeep { due, since: Some(now), ..Upkeep::default() },
            rate_limited_until: old.and_then(|old| old.rate_limited_until),
        }
    }

    fn seal(&self, now: Timestamp, generation: u64) -> (SealedToken, SealedToken) {
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
        let week =
            now.saturating_add(SignedDuration::from_secs(limits::REFRESH_TOKEN_SECONDS)).unwrap_or(now);
        let refresh_end = self.tokens.refresh_expires_at.unwrap_or(week);
        (
            seal(
                &self.keys.access,
                Purpose::Access,
                self.tokens.access_token.expose(),
                self.tokens.expires_at,
            ),
            seal(&self.keys.refresh, Purpose::Refresh, self.refresh.expose(), refresh_end),
        )
    }

    /// Ends the session at RingCentral. If that fails now, the sweep will: the pair is left for it, sealed.
    async fn discard(&self, gateway: &Gateway) {
        let whose = Member::leaving(&self.flow.issuer, &self.flow.tenant, self.extension);
        let Err(error) = revocation::end_session(gateway, whose, self.refresh).await else { return };
        tracing::warn!(tenant.id = %self.flow.tenant, error = error.chain(), "a session is left for the sweep to end");
        let generation = 1;
        let (access, refresh) = self.seal(gateway.clock.now(), generation);
        let left = Revocation {
            tenant: self.flow.tenant.clone(),
            connection: self.flow.connection.clone(),
            extension: self.extension.clone(),
            issuer: self.flow.issuer.clone(),
            generation,
            access,
            refresh,
            subscription: None,
            attempts: 0,
        };
        if let Err(error) = gateway.store.create_revocation(&left).await {
            tracing::error!(tenant.id = %self.flow.tenant, error = Error::from(error).chain(), "a session was not ended");
        }
    }
}

/// Finds out whether a connection was stored when its transaction has no clear answer. Forgetting the flow decides it:
/// once that is done, the transaction can't be applied any more, however late; if it can't be done, it was applied.
async fn settle(store: &Store, flow: &Flow, error: StoreError) -> Result<(), Unkept> {
    for _ in 0..SETTLE_ATTEMPTS {
        match store.drop_flow(&flow.id).await {
            Ok(Dropped::Done) => return Ok(()),
            Ok(Dropped::Yes) => return Err(Unkept::Surely(error.into())),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    Err(Unkept::Perhaps(error.into()))
}

/// How often the store is asked whether a write was applied.
const SETTLE_ATTEMPTS: u32 = 3;
