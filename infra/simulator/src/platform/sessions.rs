//! Logins: pages in progress, authorization codes, sessions and their tokens.
//!
//! A session is one login of one user with one app. It holds the current pair of tokens and the pair before it; older
//! tokens are forgotten, and calls with them get "not found".

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::platform::clock::Millis;
use crate::platform::ledger::fingerprint;

/// An authorize request that passed the checks and waits for the user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginTicket {
    pub client_id: String,
    pub redirect_uri: String,
    /// Returned to the app unchanged.
    pub state: Option<String>,
    pub challenge: Option<CodeChallenge>,
    /// The requested scope.
    pub scope: Option<String>,
    /// Fills the user name field.
    pub login_hint: Option<String>,
    pub brand_id: Option<String>,
    /// The extension that signed in.
    pub user: Option<i64>,
    pub expires_at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChallengeMethod {
    #[serde(rename = "plain")]
    Plain,
    S256,
}

/// The PKCE challenge of an authorize request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodeChallenge {
    pub challenge: String,
    pub method: ChallengeMethod,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuthorizationCode {
    pub client_id: String,
    /// The user who granted access.
    pub extension_id: i64,
    /// The redirect URI of the authorize request.
    pub redirect_uri: String,
    pub challenge: Option<CodeChallenge>,
    /// The requested scope.
    pub scope: Option<String>,
    pub expires_at: Millis,
    pub used: bool,
}

/// An access token and the refresh token issued with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenPair {
    pub access: String,
    /// `None` if the app gets no refresh tokens.
    pub refresh: Option<String>,
    pub access_expires_at: Millis,
    pub refresh_expires_at: Millis,
    /// When the access token was first used on a call.
    pub first_used_at: Option<Millis>,
    /// When a refresh replaced this pair.
    pub replaced_at: Option<Millis>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginSession {
    pub id: String,
    pub client_id: String,
    pub extension_id: i64,
    pub account_id: i64,
    /// Identifies the instance of the app.
    pub endpoint_id: String,
    /// The granted scopes.
    pub scopes: Vec<String>,
    /// Lifetimes in seconds.
    pub access_ttl: i64,
    pub refresh_ttl: i64,
    /// 1 at login; each refresh adds 1.
    pub generation: u64,
    pub current: TokenPair,
    pub previous: Option<TokenPair>,
    /// Why the session was revoked.
    pub revoked: Option<String>,
}

impl LoginSession {
    #[must_use]
    pub fn is_live(&self, now: Millis) -> bool {
        let ends = match self.current.refresh {
            Some(_) => self.current.refresh_expires_at.max(self.current.access_expires_at),
            None => self.current.access_expires_at,
        };
        self.revoked.is_none() && now < ends
    }

    /// The fields of a ledger entry.
    #[must_use]
    pub fn ledger_fields(&self) -> Value {
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

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LoginStore {
    /// By ticket id.
    pub tickets: HashMap<String, LoginTicket>,
    /// By the code itself.
    pub codes: HashMap<String, AuthorizationCode>,
    /// By session id.
    pub sessions: HashMap<String, LoginSession>,
    /// The session id of each access and refresh token.
    pub tokens: HashMap<String, String>,
    /// The number of logins so far. It orders sessions that began in the same millisecond.
    pub logins: u64,
}

impl LoginStore {
    #[must_use]
    pub fn session_of(&self, token: &str) -> Option<&LoginSession> {
        self.sessions.get(self.tokens.get(token)?)
    }

    /// The sessions of a user that were not revoked, whether expired or not.
    pub fn sessions_of(&self, extension_id: i64) -> impl Iterator<Item = &LoginSession> {
        self.sessions.values().filter(move |s| s.extension_id == extension_id && s.revoked.is_none())
    }

    /// Lets `session_of` find a session by its current tokens.
    pub fn index_tokens(&mut self, session: &LoginSession) {
        let tokens = std::iter::once(&session.current.access).chain(session.current.refresh.as_ref());
        for token in tokens {
            self.tokens.insert(token.clone(), session.id.clone());
        }
    }
}
