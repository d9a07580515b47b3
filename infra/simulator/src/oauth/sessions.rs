//! Codes, sessions and token pairs, and the rules by which they live and die.
//!
//! A session is one login of one user with one app. It holds the current pair of tokens and the one before it; what is
//! older is forgotten and answers "not found".

use std::collections::HashMap;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::{Millis, SECOND, seconds_left};
use crate::error::{ApiError, OauthError};
use crate::ledger::fingerprint;
use crate::oauth::{random_id, secret};
use crate::settings::{RefreshTokens, Settings};
use crate::state::{Extension, World};

/// A code of the authorize endpoint lives so long.
pub const CODE_LIFE: Millis = 60 * SECOND;
/// Right after a rotation the old access token is "corrupted", later it is "not found".
const CORRUPTED_FOR: Millis = 10 * SECOND;

/// An authorization code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Code {
    /// The app it was made for.
    pub client_id: String,
    /// The user who allowed it.
    pub extension_id: i64,
    /// The redirect URI of the authorize request.
    pub redirect_uri: String,
    /// PKCE: challenge and method.
    pub challenge: Option<(String, String)>,
    /// The scope asked for.
    pub scope: Option<String>,
    /// When it ends.
    pub expires_at: Millis,
    /// It has been exchanged.
    pub used: bool,
}

/// An access token and the refresh token that came with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    /// The access token.
    pub access: String,
    /// The refresh token, if the app gets any.
    pub refresh: Option<String>,
    /// When the access token ends.
    pub access_expires_at: Millis,
    /// When the refresh token ends.
    pub refresh_expires_at: Millis,
    /// When the access token was first used on a call.
    pub first_used_at: Option<Millis>,
    /// When a refresh replaced this pair.
    pub replaced_at: Option<Millis>,
}

/// One login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The app.
    pub client_id: String,
    /// The user.
    pub extension_id: i64,
    /// The user's account.
    pub account_id: i64,
    /// The app instance.
    pub endpoint_id: String,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// How it began: the grant type.
    pub grant: String,
    /// Life of its access tokens, in seconds.
    pub access_ttl: i64,
    /// Life of its refresh tokens, in seconds.
    pub refresh_ttl: i64,
    /// Counts refreshes, from 1.
    pub generation: u64,
    /// The tokens that are good.
    pub current: Pair,
    /// The tokens before them.
    pub previous: Option<Pair>,
    /// When it began.
    pub created_at: Millis,
    /// Why it ended, if it has.
    pub revoked: Option<String>,
}

/// All codes and sessions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Oauth {
    /// Logins that are under way, by ticket.
    pub tickets: HashMap<String, super::authorize::Ticket>,
    /// Codes by their text.
    pub codes: HashMap<String, Code>,
    /// Sessions by id.
    pub sessions: HashMap<String, Session>,
    /// The session that an access or refresh token belongs to.
    pub tokens: HashMap<String, String>,
    /// Logins so far; orders sessions that began in the same millisecond.
    pub logins: u64,
}

/// The wishes of a token request about lifetimes and the app instance.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// `access_token_ttl`.
    pub access_ttl: Option<i64>,
    /// `refresh_token_ttl`.
    pub refresh_ttl: Option<i64>,
    /// `endpoint_id`.
    pub endpoint_id: Option<String>,
    /// Scope to narrow to, when the settings honour it.
    pub scope: Option<String>,
}

impl Wishes {
    /// 600 to 3600 seconds; too low becomes 600, too high the default.
    fn access(&self, settings: &Settings) -> i64 {
        match self.access_ttl {
            None => settings.access_ttl,
            Some(ttl) if ttl < 600 => 600,
            Some(ttl) if ttl > 3600 => 3600,
            Some(ttl) => ttl,
        }
    }

    fn refresh(&self, settings: &Settings) -> i64 {
        match self.refresh_ttl {
            Some(ttl) if ttl >= 1 && ttl <= settings.max_refresh_ttl => ttl,
            _ => settings.refresh_ttl,
        }
    }
}

fn pair(settings: &Settings, access_ttl: i64, refresh_ttl: i64, now: Millis) -> Pair {
    Pair {
        access: secret("SIMAT"),
        refresh: settings.issue_refresh_tokens.then(|| secret("SIMRT")),
        access_expires_at: now + access_ttl * SECOND,
        refresh_expires_at: now + refresh_ttl * SECOND,
        first_used_at: None,
        replaced_at: None,
    }
}

impl Session {
    /// The body of a token reply. `expires_in` is a second short, as on the platform.
    fn reply(&self, settings: &Settings, now: Millis) -> Value {
        let left = |at: Millis| (seconds_left(at, now) - 1).max(0);
        let mut reply = json!({
            "access_token": self.current.access,
            "token_type": "bearer",
            "expires_in": left(self.current.access_expires_at),
            "scope": self.scopes.join(" "),
            "owner_id": self.extension_id.to_string(),
            "endpoint_id": self.endpoint_id,
        });
        if let Some(refresh) = &self.current.refresh {
            reply["refresh_token"] = refresh.clone().into();
            reply["refresh_token_expires_in"] = left(self.current.refresh_expires_at).into();
        }
        if settings.session_id {
            reply["session_id"] = self.id.clone().into();
        }
        reply
    }

    fn is_live(&self, now: Millis) -> bool {
        let ends = match self.current.refresh {
            Some(_) => self.current.refresh_expires_at.max(self.current.access_expires_at),
            None => self.current.access_expires_at,
        };
        self.revoked.is_none() && now < ends
    }

    fn about(&self) -> Value {
        json!({
            "extensionId": self.extension_id.to_string(),
            "accountId": self.account_id.to_string(),
            "clientId": self.client_id,
            "sessionId": self.id,
            "generation": self.generation,
            "access": fingerprint(&self.current.access),
            "refresh": self.current.refresh.as_deref().map(fingerprint),
        })
    }
}

/// `a` with the fields of `b` added.
fn joined(mut a: Value, b: Value) -> Value {
    if let (Value::Object(a), Value::Object(b)) = (&mut a, b) {
        a.extend(b);
    }
    a
}

impl World {
    /// Begins a session and gives the token reply. One session too many ends the oldest.
    pub fn begin_session(
        &mut self,
        now: Millis,
        client_id: &str,
        extension: &Extension,
        grant: &str,
        wishes: &Wishes,
    ) -> Value {
        self.forget_old_logins(now);
        let mut scopes = self.settings.scopes.clone();
        if self.settings.honour_scope
            && let Some(asked) = &wishes.scope
        {
            scopes.retain(|scope| asked.split_whitespace().any(|a| a == scope));
        }
        let (access_ttl, refresh_ttl) = (wishes.access(&self.settings), wishes.refresh(&self.settings));
        let current = pair(&self.settings, access_ttl, refresh_ttl, now);
        self.oauth.logins += 1;
        let session = Session {
            id: format!("{:08}-{}", self.oauth.logins, uuid::Uuid::new_v4().simple()),
            client_id: client_id.to_owned(),
            extension_id: extension.id,
            account_id: extension.account_id,
            endpoint_id: wishes.endpoint_id.clone().unwrap_or_else(|| random_id("ep")),
            scopes,
            grant: grant.to_owned(),
            access_ttl,
            refresh_ttl,
            generation: 1,
            current,
            previous: None,
            created_at: now,
            revoked: None,
        };
        let mut live: Vec<&Session> = self
            .oauth
            .sessions
            .values()
            .filter(|s| s.extension_id == extension.id && s.client_id == client_id && s.is_live(now))
            .collect();
        live.sort_by(|a, b| a.id.cmp(&b.id));
        let too_many = (live.len() + 1).saturating_sub(self.settings.session_limit);
        let evicted: Vec<String> = live.iter().take(too_many).map(|s| s.id.clone()).collect();
        for id in evicted {
            self.end_session(now, &id, "session_limit");
        }
        self.remember(&session);
        let reply = session.reply(&self.settings, now);
        let entry = joined(session.about(), json!({"grant": grant, "scope": session.scopes.join(" ")}));
        self.ledger.add(now, "token_issued", entry);
        self.oauth.sessions.insert(session.id.clone(), session);
        reply
    }

    fn remember(&mut self, session: &Session) {
        let tokens = std::iter::once(&session.current.access).chain(session.current.refresh.as_ref());
        for token in tokens {
            self.oauth.tokens.insert(token.clone(), session.id.clone());
        }
    }

    /// The session that a token belongs to.
    #[must_use]
    pub fn session_of(&self, token: &str) -> Option<&Session> {
        self.oauth.sessions.get(self.oauth.tokens.get(token)?)
    }

    /// Ends a session with all its tokens.
    pub fn end_session(&mut self, now: Millis, id: &str, why: &str) {
        if let Some(session) = self.oauth.sessions.get_mut(id)
            && session.revoked.is_none()
        {
            session.revoked = Some(why.to_owned());
            let entry = joined(session.about(), json!({"reason": why}));
            self.ledger.add(now, "session_revoked", entry);
        }
    }

    /// The refresh grant.
    pub fn refresh(
        &mut self,
        now: Millis,
        client_id: &str,
        token: &str,
        wishes: &Wishes,
    ) -> Result<Value, OauthError> {
        let gone = || OauthError::new("invalid_grant", "OAU-213", "Token not found");
        let id = self.oauth.tokens.get(token).cloned().ok_or_else(gone)?;
        let settings = self.settings.clone();
        let session = self.oauth.sessions.get_mut(&id).ok_or_else(gone)?;
        let is_current = session.current.refresh.as_deref() == Some(token);
        let is_previous = session.previous.as_ref().is_some_and(|p| p.refresh.as_deref() == Some(token));
        if !is_current && !is_previous {
            // An access token, or a pair that is older than the last two.
            return Err(gone());
        }
        if session.client_id != client_id {
            return Err(OauthError::new("invalid_grant", "OAU-120", "Wrong application"));
        }
        if session.revoked.is_some() {
            return Err(OauthError::new("invalid_grant", "OAU-211", "Token revoked"));
        }
        let pair_of_token = if is_current { Some(&session.current) } else { session.previous.as_ref() };
        if pair_of_token.is_some_and(|p| now >= p.refresh_expires_at) {
            return Err(OauthError::new("invalid_grant", "OAU-210", "Token expired"));
        }
        if is_previous {
            let replaced_at = session.previous.as_ref().and_then(|p| p.replaced_at).unwrap_or(now);
            let good_until = match session.current.first_used_at {
                Some(used_at) => used_at + settings.grace_used_seconds * SECOND,
                None => replaced_at + settings.grace_unused_seconds * SECOND,
            };
            return match settings.refresh_tokens {
                RefreshTokens::Grace if now < good_until => {
                    let (reply, entry) = (session.reply(&settings, now), session.about());
                    let entry = joined(entry, json!({"repeated": true, "presented": fingerprint(token)}));
                    self.ledger.add(now, "token_refreshed", entry);
                    Ok(reply)
                }
                RefreshTokens::Grace | RefreshTokens::Strict => Err(gone()),
                RefreshTokens::FamilyKill => {
                    self.end_session(now, &id, "refresh_token_reuse");
                    Err(gone())
                }
            };
        }
        if wishes.access_ttl.is_some() {
            session.access_ttl = wishes.access(&settings);
        }
        if wishes.refresh_ttl.is_some() {
            session.refresh_ttl = wishes.refresh(&settings);
        }
        let fresh = pair(&settings, session.access_ttl, session.refresh_ttl, now);
        let mut old = std::mem::replace(&mut session.current, fresh);
        old.replaced_at = Some(now);
        // A refresh reply without a refresh token leaves the old one in force.
        if session.current.refresh.is_none() {
            session.current.refresh = old.refresh.take();
            session.current.refresh_expires_at = old.refresh_expires_at;
        }
        let forgotten = session.previous.replace(old);
        session.generation += 1;
        let session = session.clone();
        for token in forgotten.iter().flat_map(|p| std::iter::once(&p.access).chain(p.refresh.as_ref())) {
            self.oauth.tokens.remove(token);
        }
        self.remember(&session);
        let mut reply = session.reply(&settings, now);
        if !settings.issue_refresh_tokens {
            for field in ["refresh_token", "refresh_token_expires_in"] {
                reply.as_object_mut().map(|r| r.remove(field));
            }
        }
        let entry = joined(session.about(), json!({"repeated": false, "presented": fingerprint(token)}));
        self.ledger.add(now, "token_refreshed", entry);
        Ok(reply)
    }

    /// The session behind the access token of a call; its first use is noted.
    pub fn authenticate(&mut self, now: Millis, token: &str, path: &str) -> Result<Session, ApiError> {
        let refused = |code, message| Err(ApiError::token(code, message));
        let known = self.oauth.tokens.get(token).cloned();
        let Some(session) = known.and_then(|id| self.oauth.sessions.get_mut(&id)) else {
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
            let entry = joined(session.about(), json!({"path": path}));
            self.ledger.add(now, "token_first_used", entry);
        }
        Ok(session.clone())
    }

    /// Forgets what has been over for long: tickets, codes, and sessions dead for a week.
    pub fn forget_old_logins(&mut self, now: Millis) {
        self.oauth.tickets.retain(|_, t| now < t.expires_at);
        self.oauth.codes.retain(|_, c| now < c.expires_at + crate::clock::HOUR);
        let week = 7 * crate::clock::DAY;
        let old = |s: &Session| !s.is_live(now) && now > s.current.refresh_expires_at + week;
        let gone: Vec<String> =
            self.oauth.sessions.values().filter(|s| old(s)).map(|s| s.id.clone()).collect();
        for id in &gone {
            self.oauth.sessions.remove(id);
        }
        if !gone.is_empty() {
            self.oauth.tokens.retain(|_, id| !gone.contains(id));
        }
    }
}

impl OauthError {
    /// With the status that the settings want for OAU errors.
    #[must_use]
    pub fn at(mut self, settings: &Settings) -> Self {
        if settings.oauth_error_status == 401
            && self.code.starts_with("OAU-")
            && self.status == StatusCode::BAD_REQUEST
        {
            self.status = StatusCode::UNAUTHORIZED;
        }
        self
    }
}
