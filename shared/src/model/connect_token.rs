//! Connect links, and flows: one browser's authorization at RingCentral.
//!
//! A link can be opened any number of times. Pressing its button binds it to that browser, which may press again until the
//! link expires or a connection is stored. So each link leads to at most one connection, in one browser (reliability
//! rule 1).

use jiff::{SignedDuration, Timestamp};

use super::ids::{ConnectionId, TenantId};
use super::secret::Secret;
use super::string_enum::string_enum;
use crate::clock::saturating_add;
use crate::limits;

/// The secret of a link: 32 random bytes. Only its digest is stored.
#[derive(Debug, Clone)]
pub struct ConnectToken(Secret);

impl ConnectToken {
    pub fn generate() -> Self {
        Self(Secret::random())
    }

    /// `None` if the text does not have the format of a token.
    pub fn parse(text: &str) -> Option<Self> {
        is_random_secret(text).then(|| Self(Secret::new(text)))
    }

    /// The digest under which the link is stored.
    pub fn digest(&self) -> String {
        self.0.digest()
    }

    /// Path and query of the link.
    pub fn link(&self) -> String {
        format!("/v1/rc/connect?token={}", self.0.expose())
    }

    /// For the form on the confirmation page.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// True if a text has the format of [`Secret::random`]: 32 bytes in base64url, which are 43 characters.
pub fn is_random_secret(text: &str) -> bool {
    text.len() == 43 && data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).is_ok()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub tenant: TenantId,
    /// The tenant's name when the link was created.
    pub tenant_name: String,
    /// The tenant's description of the link. The confirmation page shows it.
    pub label: Option<String>,
    /// The success page links to this URL.
    pub return_url: Option<String>,
    pub expires_at: Timestamp,
    /// Digest of the cookie of the browser in which the button was pressed.
    pub browser: Option<String>,
    /// When a connection was stored with this link.
    pub used_at: Option<Timestamp>,
    /// How often the button was pressed.
    pub starts: u32,
    /// How often a code of RingCentral was exchanged, which costs a call of the token endpoint.
    pub exchanges: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// This browser may press the button.
    Open,
    /// The button was pressed in another browser.
    BoundElsewhere,
    /// A connection was stored with this link.
    Used,
    Expired,
    /// The button was pressed, or a code was exchanged, as often as a link allows.
    Exhausted,
}

impl Link {
    /// The state for the browser with this cookie digest.
    pub fn state(&self, browser: Option<&str>, now: Timestamp) -> LinkState {
        if self.used_at.is_some() {
            LinkState::Used
        } else if self.expires_at <= now {
            LinkState::Expired
        } else if self.browser.is_some() && self.browser.as_deref() != browser {
            LinkState::BoundElsewhere
        } else if self.starts >= limits::LINK_STARTS || self.exchanges >= limits::LINK_EXCHANGES {
            LinkState::Exhausted
        } else {
            LinkState::Open
        }
    }
}

string_enum! {
    /// Each transition is one conditional write.
    pub enum FlowStatus {
        /// The browser was redirected to RingCentral.
        Started = "started",
        /// A callback is exchanging the code. There is no second attempt with this code.
        Exchanging = "exchanging",
        /// The connection is stored.
        Done = "done",
    }
}

/// One browser's authorization at RingCentral, from the button to the success page.
#[derive(Debug, Clone)]
pub struct Flow {
    /// SHA-256 of the OAuth `state`.
    pub id: String,
    pub tenant: TenantId,
    /// The tenant's name when the link was created.
    pub tenant_name: String,
    /// Digest of the link's token.
    pub link: String,
    /// Digest of the browser's cookie.
    pub browser: String,
    /// The RingCentral server that issues the tokens. A flow is not completed if the deployment now uses another server.
    pub issuer: String,
    /// The redirect URI of the authorization request.
    pub redirect_uri: String,
    /// The id of the future connection. It is needed to create the data keys before the code is exchanged.
    pub connection: ConnectionId,
    /// The success page links to this URL.
    pub return_url: Option<String>,
    pub status: FlowStatus,
    pub expires_at: Timestamp,
}

/// The value of the cookie that binds a link and its flows to one browser. The PKCE verifier is derived from it.
///
/// Each link has its own cookie, so that two links in one browser do not interfere.
#[derive(Debug, Clone)]
pub struct BrowserKey(Secret);

impl BrowserKey {
    pub fn generate() -> Self {
        Self(Secret::random())
    }

    /// `None` if the text does not have the format of a key.
    pub fn parse(text: &str) -> Option<Self> {
        is_random_secret(text).then(|| Self(Secret::new(text)))
    }

    pub fn digest(&self) -> String {
        self.0.digest()
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The PKCE verifier of a flow: HMAC-SHA256 of flow id and issuer, with the bytes of this key. It is never stored, so a
    /// callback in another browser cannot exchange the code (reliability rule 2).
    pub fn verifier(&self, flow: &str, issuer: &str) -> Secret {
        use aws_lc_rs::hmac;
        let bytes =
            data_encoding::BASE64URL_NOPAD.decode(self.0.expose().as_bytes()).map(zeroize::Zeroizing::new);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes.expect("a browser key is 32 bytes in base64url"));
        let tag = hmac::sign(&key, format!("{flow}\n{issuer}").as_bytes());
        Secret::new(data_encoding::BASE64URL_NOPAD.encode(tag.as_ref()))
    }

    /// The name of a link's cookie. The prefix `__Host-` prevents other hosts from setting it.
    pub fn cookie_name(link: &str) -> String {
        format!("__Host-ringbridge-{}", &link[..16])
    }
}

/// Name of the cookie that contains the id of the completed flow, for the success page.
pub const DONE_COOKIE: &str = "__Host-ringbridge-done";

/// When a flow that starts at `now` expires.
pub fn flow_end(now: Timestamp) -> Timestamp {
    saturating_add(now, SignedDuration::from_secs(limits::FLOW_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(used: bool, browser: Option<&str>) -> Link {
        Link {
            tenant: TenantId::generate(),
            tenant_name: "Acme".into(),
            label: None,
            return_url: None,
            expires_at: Timestamp::from_second(100).unwrap(),
            browser: browser.map(Into::into),
            used_at: used.then_some(Timestamp::UNIX_EPOCH),
            starts: 0,
            exchanges: 0,
        }
    }

    #[test]
    fn a_link_is_bound_to_the_first_browser_in_which_its_button_is_pressed() {
        let now = Timestamp::from_second(50).unwrap();
        assert_eq!(link(false, None).state(None, now), LinkState::Open);
        assert_eq!(link(false, Some("a")).state(Some("a"), now), LinkState::Open);
        assert_eq!(link(false, Some("a")).state(Some("b"), now), LinkState::BoundElsewhere);
        assert_eq!(link(false, Some("a")).state(None, now), LinkState::BoundElsewhere);
        assert_eq!(link(true, Some("a")).state(Some("a"), now), LinkState::Used);
        assert_eq!(link(false, None).state(None, Timestamp::from_second(100).unwrap()), LinkState::Expired);
    }

    #[test]
    fn the_verifier_depends_on_cookie_flow_and_issuer() {
        let (a, b) = (BrowserKey::generate(), BrowserKey::generate());
        let verifier = a.verifier("flow", "https://one.example");
        assert_eq!(verifier, a.verifier("flow", "https://one.example"));
        assert_eq!(verifier.expose().len(), 43);
        for other in [
            b.verifier("flow", "https://one.example"),
            a.verifier("flow2", "https://one.example"),
            a.verifier("flow", "https://two.example"),
        ] {
            assert!(verifier != other);
        }
    }

    #[test]
    fn malformed_tokens_and_cookies_are_rejected() {
        for bad in ["", "short", &"a".repeat(44), &"=".repeat(43), &"é".repeat(22)] {
            assert!(ConnectToken::parse(bad).is_none() && BrowserKey::parse(bad).is_none());
        }
    }
}
