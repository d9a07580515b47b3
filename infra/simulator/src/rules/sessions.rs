//! Sessions and their tokens: login, refresh, use, revocation.

use serde_json::{Value, json};

use crate::platform::accounts::ExtensionRecord;
use crate::platform::clock::{DAY, HOUR, Millis, SECOND, seconds_until};
use crate::platform::errors::{OauthError, RestError};
use crate::platform::ledger::{LedgerKind, fingerprint};
use crate::platform::sessions::{LoginSession, TokenPair};
use crate::platform::settings::{PlatformSettings, RefreshTokenPolicy};
use crate::platform::state::PlatformState;
use crate::rules::secrets::{random_id, random_secret};

/// A call with a replaced access token gets "corrupted" for this long, later "not found".
const CORRUPTED_FOR: Millis = 10 * SECOND;
/// Used and expired codes are kept for this long, so that calls with them get the right error.
const KEEP_CODES: Millis = HOUR;
/// Expired sessions are kept for this long.
const KEEP_SESSIONS: Millis = 7 * DAY;

/// Optional parameters of a token request.
#[derive(Debug, Clone, Default)]
pub struct TokenRequestOptions {
    pub access_ttl: Option<i64>,
    pub refresh_ttl: Option<i64>,
    pub endpoint_id: Option<String>,
    /// Limits the scopes if the setting `honourScope` is on.
    pub scope: Option<String>,
}

impl TokenRequestOptions {
    /// 600 to 3600 seconds; a smaller value becomes 600, a larger one 3600.
    fn access_ttl(&self, settings: &PlatformSettings) -> i64 {
        self.access_ttl.map_or(settings.access_ttl, |ttl| ttl.clamp(600, 3600))
    }

    fn refresh_ttl(&self, settings: &PlatformSettings) -> i64 {
        match self.refresh_ttl {
            Some(ttl) if ttl >= 1 && ttl <= settings.max_refresh_ttl => ttl,
            _ => settings.refresh_ttl,
        }
    }
}

fn new_pair(settings: &PlatformSettings, access_ttl: i64, refresh_ttl: i64, now: Millis) -> TokenPair {
    TokenPair {
        access: random_secret("SIMAT"),
        refresh: settings.issue_refresh_tokens.then(|| random_secret("SIMRT")),
        access_expires_at: now + access_ttl * SECOND,
        refresh_expires_at: now + refresh_ttl * SECOND,
        first_used_at: None,
        replaced_at: None,
    }
}

/// The body of a token reply. As on the platform, the lifetimes are one second short.
fn token_reply(session: &LoginSession, settings: &PlatformSettings, now: Millis) -> Value {
    let left = |at: Millis| (seconds_until(at, now) - 1).max(0);
    let mut reply = json!({
        "access_token": session.current.access,
        "token_type": "bearer",
        "expires_in": left(session.current.access_expires_at),
        "scope": session.scopes.join(" "),
        "owner_id": session.extension_id.to_string(),
        "endpoint_id": session.endpoint_id,
    });
    if let Some(refresh) = &session.current.refresh {
        reply["refresh_token"] = refresh.clone().into();
        reply["refresh_token_expires_in"] = left(session.current.refresh_expires_at).into();
    }
    if settings.session_id {
        reply["session_id"] = session.id.clone().into();
    }
    reply
}

/// `a` with the fields of `b` added.
fn merged(mut a: Value, b: Value) -> Value {
    if let (Value::Object(a), Value::Object(b)) = (&mut a, b) {
        a.extend(b);
    }
    a
}

impl PlatformState {
    /// Starts a session and returns the token reply. If the user has too many sessions with the app, the oldest are
    /// revoked.
    pub fn start_session(
        &mut self,
        now: Millis,
        client_id: &str,
        extension: &ExtensionRecord,
        grant: &str,
        options: &TokenRequestOptions,
    ) -> Value {
        self.delete_old_logins(now);
        let mut scopes = self.settings.scopes.clone();
        if self.settings.honour_scope
            && let Some(requested) = &options.scope
        {
            scopes.retain(|scope| requested.split_whitespace().any(|r| r == scope));
        }
        let access_ttl = options.access_ttl(&self.settings);
        let refresh_ttl = options.refresh_ttl(&self.settings);
        self.logins.logins += 1;
        let session = LoginSession {
            id: format!("{:08}-{}", self.logins.logins, uuid::Uuid::new_v4().simple()),
            client_id: client_id.to_owned(),
            extension_id: extension.id,
            account_id: extension.account_id,
            endpoint_id: options.endpoint_id.clone().unwrap_or_else(|| random_id("ep")),
            scopes,
            access_ttl,
            refresh_ttl,
            generation: 1,
            current: new_pair(&self.settings, access_ttl, refresh_ttl, now),
            previous: None,
            revoked: None,
        };
        let live = self.logins.sessions_of(extension.id);
        let mut live: Vec<&str> =
            live.filter(|s| s.client_id == client_id && s.is_live(now)).map(|s| s.id.as_str()).collect();
        live.sort_unstable();
        let excess = (live.len() + 1).saturating_sub(self.settings.session_limit);
        let evicted: Vec<String> = live.into_iter().take(excess).map(str::to_owned).collect();
        for id in evicted {
            self.revoke_session(now, &id, "session_limit");
        }
        self.logins.index_tokens(&session);
        let reply = token_reply(&session, &self.settings, now);
        let grant = json!({"grant": grant, "scope": session.scopes.join(" ")});
        self.ledger.add(now, LedgerKind::TokenIssued, merged(session.ledger_fields(), grant));
        self.logins.sessions.insert(session.id.clone(), session);
        reply
    }

    /// Ends a session with all its tokens. Has no effect on a session that was revoked before.
    pub fn revoke_session(&mut self, now: Millis, id: &str, reason: &str) {
        if let Some(session) = self.logins.sessions.get_mut(id)
            && session.revoked.is_none()
        {
            session.revoked = Some(reason.to_owned());
            let entry = merged(session.ledger_fields(), json!({"reason": reason}));
            self.ledger.add(now, LedgerKind::SessionRevoked, entry);
        }
    }

    /// The refresh grant.
    pub fn refresh(
        &mut self,
        now: Millis,
        client_id: &str,
        token: &str,
        options: &TokenRequestOptions,
    ) -> Result<Value, OauthError> {
        let not_found = || OauthError::new("invalid_grant", "OAU-213", "Token not found");
        let id = self.logins.tokens.get(token).cloned().ok_or_else(not_found)?;
        let settings = self.settings.clone();
        let session = self.logins.sessions.get_mut(&id).ok_or_else(not_found)?;
        let is_of = |pair: &TokenPair| pair.refresh.as_deref() == Some(token);
        let is_current = is_of(&session.current);
        // Neither pair has it if it is an access token.
        let pair = if is_current { Some(&session.current) } else { session.previous.as_ref() };
        let pair = pair.filter(|pair| is_of(pair)).ok_or_else(not_found)?;
        if session.client_id != client_id {
            return Err(OauthError::new("invalid_grant", "OAU-120", "Wrong application"));
        }
        if session.revoked.is_some() {
            return Err(OauthError::new("invalid_grant", "OAU-211", "Token revoked"));
        }
        if now >= pair.refresh_expires_at {
            return Err(OauthError::new("invalid_grant", "OAU-210", "Token expired"));
        }
        if !is_current {
            let replaced_at = pair.replaced_at.unwrap_or(now);
            let valid_until = match session.current.first_used_at {
                Some(used_at) => used_at + settings.grace_used_seconds * SECOND,
                None => replaced_at + settings.grace_unused_seconds * SECOND,
            };
            return match settings.refresh_tokens {
                RefreshTokenPolicy::Grace if now < valid_until => {
                    let reply = token_reply(session, &settings, now);
                    let repeated = json!({"repeated": true, "presented": fingerprint(token)});
                    let entry = merged(session.ledger_fields(), repeated);
                    self.ledger.add(now, LedgerKind::TokenRefreshed, entry);
                    Ok(reply)
                }
                RefreshTokenPolicy::Grace | RefreshTokenPolicy::Strict => Err(not_found()),
                RefreshTokenPolicy::FamilyKill => {
                    self.revoke_session(now, &id, "refresh_token_reuse");
                    Err(not_found())
                }
            };
        }
        if options.access_ttl.is_some() {
            session.access_ttl = options.access_ttl(&settings);
        }
        if options.refresh_ttl.is_some() {
            session.refresh_ttl = options.refresh_ttl(&settings);
        }
        let new = new_pair(&settings, session.access_ttl, session.refresh_ttl, now);
        let mut old = std::mem::replace(&mut session.current, new);
        old.replaced_at = Some(now);
        // If the reply has no refresh token, the old one stays valid.
        if session.current.refresh.is_none() {
            session.current.refresh = old.refresh.take();
            session.current.refresh_expires_at = old.refresh_expires_at;
        }
        let forgotten = session.previous.replace(old);
        session.generation += 1;
        let session = session.clone();
        for token in forgotten.iter().flat_map(|p| std::iter::once(&p.access).chain(p.refresh.as_ref())) {
            self.logins.tokens.remove(token);
        }
        self.logins.index_tokens(&session);
        let mut reply = token_reply(&session, &settings, now);
        if !settings.issue_refresh_tokens {
            for field in ["refresh_token", "refresh_token_expires_in"] {
                reply.as_object_mut().map(|r| r.remove(field));
            }
        }
        let first = json!({"repeated": false, "presented": fingerprint(token)});
        self.ledger.add(now, LedgerKind::TokenRefreshed, merged(session.ledger_fields(), first));
        Ok(reply)
    }

    /// The session of an access token. Records the first use of the token.
    pub fn authenticate(&mut self, now: Millis, token: &str, path: &str) -> Result<LoginSession, RestError> {
        let refused = |code, message| Err(RestError::invalid_token(code, message));
        let id = self.logins.tokens.get(token).cloned();
        let Some(session) = id.and_then(|id| self.logins.sessions.get_mut(&id)) else {
            return if token.starts_with("SIMAT.") {
                refused("OAU-213", "Token not found")
            } else {
                refused("OAU-149", "OAuth token is invalid")
            };
        };
        if session.revoked.is_some() {
            return refused("OAU-213", "Token not found");
        }
        if let Some(previous) = session.previous.as_ref().filter(|p| p.access == token) {
            let replaced_at = previous.replaced_at.unwrap_or(now);
            return if now < replaced_at + CORRUPTED_FOR {
                refused("OAU-129", "Access token corrupted")
            } else {
                refused("OAU-213", "Token not found")
            };
        }
        if session.current.access != token {
            return refused("OAU-149", "OAuth token is invalid");
        }
        if now >= session.current.access_expires_at {
            return refused("OAU-128", "Access token expired");
        }
        let usable = self
            .extensions
            .get(&session.extension_id)
            .is_some_and(|e| matches!(e.status.as_str(), "Enabled" | "NotActivated"));
        if !usable {
            return refused("OAU-236", "Extension is disabled or frozen");
        }
        if session.current.first_used_at.is_none() {
            session.current.first_used_at = Some(now);
            let entry = merged(session.ledger_fields(), json!({"path": path}));
            self.ledger.add(now, LedgerKind::TokenFirstUsed, entry);
        }
        Ok(session.clone())
    }

    /// Deletes expired tickets, and codes and sessions that expired long ago.
    pub fn delete_old_logins(&mut self, now: Millis) {
        self.logins.tickets.retain(|_, t| now < t.expires_at);
        self.logins.codes.retain(|_, c| now < c.expires_at + KEEP_CODES);
        let is_old = |s: &LoginSession| !s.is_live(now) && now > s.current.refresh_expires_at + KEEP_SESSIONS;
        let old = self.logins.sessions.values().filter(|s| is_old(s));
        let old: Vec<String> = old.map(|s| s.id.clone()).collect();
        for id in &old {
            self.logins.sessions.remove(id);
        }
        if !old.is_empty() {
            self.logins.tokens.retain(|_, id| !old.contains(id));
        }
    }
}
