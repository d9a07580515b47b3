//! What a sign-in yields: the access token, the refresh token, and what RingCentral says about them.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::id::Id;
use crate::secret::Secret;

macro_rules! secret_type {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Secret);

        impl $name {
            /// Takes over the text as secret.
            #[must_use]
            pub fn new(text: impl Into<Secret>) -> Self {
                Self(text.into())
            }

            /// The text itself. Neither log it nor put it into an error.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose()
            }

            /// SHA-256 of the text in lower-case hexadecimal, to recognise it by.
            #[must_use]
            pub fn digest(&self) -> String {
                self.0.digest()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl From<Secret> for $name {
            fn from(secret: Secret) -> Self {
                Self(secret)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

secret_type!(
    /// Opens API calls for about an hour (Developer Guide, "Access tokens").
    AccessToken
);
secret_type!(
    /// Yields the next pair of tokens, for seven days (Developer Guide, "Refresh tokens").
    RefreshToken
);
secret_type!(
    /// Proves to the token endpoint that a confidential app is itself.
    ClientSecret
);

/// The tokens of one session, and when they end.
///
/// It can be kept and loaded into another client: write `tokens.expose()` (plain text, so encrypt it), read
/// it back as `TokenSet`. Its `Debug` shows no token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenSet {
    /// For API calls. Store the set **before** the first call with it: until then, and for up to an hour,
    /// repeating the same refresh yields the same pair again; about 10 s after the first call it is lost.
    pub access_token: AccessToken,
    /// When the access token ends, counted from before the request was sent, so never too late.
    pub expires_at: Timestamp,
    /// For the next refresh. `None` if the app's setting "Issue refresh tokens" is off.
    #[serde(default)]
    pub refresh_token: Option<RefreshToken>,
    /// When the refresh token ends.
    #[serde(default)]
    pub refresh_expires_at: Option<Timestamp>,
    /// The app permissions granted, such as `SMS`.
    #[serde(default)]
    pub scope: Vec<String>,
    /// The extension of the user who signed in. The account is learnt with `userinfo` or `extension`.
    #[serde(default)]
    pub owner_id: Option<Id>,
    /// The instance of the app, as given at sign-in or made up by RingCentral.
    #[serde(default)]
    pub endpoint_id: Option<String>,
    /// The session that these tokens belong to.
    #[serde(default)]
    pub session_id: Option<String>,
    /// The OpenID Connect id token, if the scope `openid` was asked for. It is not verified here.
    #[serde(default)]
    pub id_token: Option<Secret>,
    /// When the session ends in any case, if the customer's administrator set an absolute limit.
    #[serde(default)]
    pub session_expires_at: Option<Timestamp>,
    /// The session ends after this many seconds without a call, if the administrator set an idle limit.
    #[serde(default)]
    pub session_idle_timeout_seconds: Option<u64>,
}

impl TokenSet {
    /// An existing access token, from whatever source, without a refresh token.
    #[must_use]
    pub fn new(access_token: impl Into<AccessToken>, expires_at: Timestamp) -> Self {
        Self {
            access_token: access_token.into(),
            expires_at,
            refresh_token: None,
            refresh_expires_at: None,
            scope: Vec::new(),
            owner_id: None,
            endpoint_id: None,
            session_id: None,
            id_token: None,
            session_expires_at: None,
            session_idle_timeout_seconds: None,
        }
    }

    /// The same with a refresh token, and when that ends if it is known.
    #[must_use]
    pub fn with_refresh_token(mut self, token: impl Into<RefreshToken>, ends: Option<Timestamp>) -> Self {
        self.refresh_token = Some(token.into());
        self.refresh_expires_at = ends;
        self
    }

    /// True if the access token will still live for more than `margin`.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp, margin: SignedDuration) -> bool {
        self.expires_at.duration_since(now) > margin
    }

    /// True if there is a refresh token that is not known to have ended.
    #[must_use]
    pub fn can_refresh(&self, now: Timestamp) -> bool {
        self.refresh_token.is_some() && self.refresh_expires_at.is_none_or(|ends| ends > now)
    }

    /// Fills in from the set that this one replaces what a refresh answer may leave out: an answer without
    /// refresh token means that the old one stays good.
    #[must_use]
    pub fn succeeding(mut self, previous: &Self) -> Self {
        if self.refresh_token.is_none() {
            self.refresh_token.clone_from(&previous.refresh_token);
            self.refresh_expires_at = previous.refresh_expires_at;
        }
        if self.scope.is_empty() {
            self.scope.clone_from(&previous.scope);
        }
        self.owner_id = self.owner_id.or(previous.owner_id);
        self.endpoint_id = self.endpoint_id.or_else(|| previous.endpoint_id.clone());
        self.session_id = self.session_id.or_else(|| previous.session_id.clone());
        self
    }

    /// The set as something that can be serialised, **with its secrets in plain text**.
    ///
    /// ```
    /// # use ringbridge_ringcentral::TokenSet;
    /// # let tokens = TokenSet::new("an access token", jiff::Timestamp::UNIX_EPOCH);
    /// let saved = serde_json::to_string(&tokens.expose())?;
    /// let loaded: TokenSet = serde_json::from_str(&saved)?;
    /// assert_eq!(loaded, tokens);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn expose(&self) -> PlainTokenSet<'_> {
        PlainTokenSet(self)
    }
}

/// A [`TokenSet`] whose secrets are exposed on purpose; made by [`TokenSet::expose`].
pub struct PlainTokenSet<'a>(&'a TokenSet);

impl Serialize for PlainTokenSet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plain<'a> {
            access_token: &'a str,
            expires_at: Timestamp,
            #[serde(skip_serializing_if = "Option::is_none")]
            refresh_token: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            refresh_expires_at: Option<Timestamp>,
            scope: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            owner_id: Option<Id>,
            #[serde(skip_serializing_if = "Option::is_none")]
            endpoint_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            session_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            id_token: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            session_expires_at: Option<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            session_idle_timeout_seconds: Option<u64>,
        }
        let set = self.0;
        Plain {
            access_token: set.access_token.expose(),
            expires_at: set.expires_at,
            refresh_token: set.refresh_token.as_ref().map(RefreshToken::expose),
            refresh_expires_at: set.refresh_expires_at,
            scope: &set.scope,
            owner_id: set.owner_id,
            endpoint_id: set.endpoint_id.as_deref(),
            session_id: set.session_id.as_deref(),
            id_token: set.id_token.as_ref().map(Secret::expose),
            session_expires_at: set.session_expires_at,
            session_idle_timeout_seconds: set.session_idle_timeout_seconds,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn set() -> TokenSet {
        let mut set = TokenSet::new("CANARY-a", at(3600)).with_refresh_token("CANARY-r", Some(at(604_800)));
        set.scope = vec!["SMS".to_owned()];
        set.owner_id = Some(Id(700_100_201));
        set.id_token = Some("CANARY-i".into());
        set.session_idle_timeout_seconds = Some(900);
        set
    }

    #[test]
    fn a_set_survives_being_kept_and_shows_no_token() {
        let set = set();
        let kept = serde_json::to_string(&set.expose()).expect("written");
        assert_eq!(serde_json::from_str::<TokenSet>(&kept).expect("read"), set);
        assert!(!format!("{set:?} {set:#?}").contains("CANARY"));
    }

    #[test]
    fn freshness_and_refreshability_follow_the_clock() {
        let set = set();
        let margin = SignedDuration::from_secs(120);
        assert!(set.is_fresh(at(3479), margin) && !set.is_fresh(at(3480), margin));
        assert!(set.can_refresh(at(604_799)) && !set.can_refresh(at(604_800)));
        assert!(!TokenSet::new("a", at(0)).can_refresh(at(0)));
    }

    #[test]
    fn an_answer_without_refresh_token_keeps_the_old_one() {
        let next = TokenSet::new("b", at(7200)).succeeding(&set());
        assert_eq!(next.refresh_token, Some("CANARY-r".into()));
        assert_eq!(next.refresh_expires_at, Some(at(604_800)));
        assert_eq!(next.owner_id, Some(Id(700_100_201)));
        let rotated = TokenSet::new("b", at(7200)).with_refresh_token("r2", None).succeeding(&set());
        assert_eq!(rotated.refresh_token, Some("r2".into()));
        assert_eq!(rotated.refresh_expires_at, None);
    }
}
