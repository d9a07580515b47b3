//! Links that let a person connect RingCentral, and the way of one browser through OAuth.
//!
//! A link can be opened by anybody any number of times. The first browser that presses the button owns it from then
//! on; it may press again as long as the link has not expired and no connection came of it. So at most one connection
//! ever comes of a link, made by one browser (reliability rule 1).

use jiff::{SignedDuration, Timestamp};

use super::ids::{ConnectionId, TenantId};
use super::secret::Secret;
use crate::limits;

/// What a link carries, of which only the digest is stored: 32 random bytes.
#[derive(Debug, Clone)]
pub struct ConnectToken(Secret);

impl ConnectToken {
    /// A new random one.
    pub fn generate() -> Self {
        Self(Secret::random())
    }

    /// `None` if a text can't be one; costs no look-up.
    pub fn parse(text: &str) -> Option<Self> {
        is_random_secret(text).then(|| Self(Secret::new(text)))
    }

    /// What is stored of it.
    pub fn digest(&self) -> String {
        self.0.digest()
    }

    /// The link, relative to the product's address.
    pub fn link(&self) -> String {
        format!("/v1/rc/connect?token={}", self.0.expose())
    }

    /// The token, for the form on the confirmation page.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// True if a text has the form of [`Secret::random`]: 32 bytes in base64url, which is 43 characters.
pub fn is_random_secret(text: &str) -> bool {
    text.len() == 43 && data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).is_ok()
}

/// What is kept of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The tenant that it connects to.
    pub tenant: TenantId,
    /// The tenant's name when the link was made, for the page.
    pub tenant_name: String,
    /// The tenant's own word for this link, shown on the page.
    pub label: Option<String>,
    /// Where the page after success links back to.
    pub return_url: Option<String>,
    /// From when on it is dead.
    pub expires_at: Timestamp,
    /// Digest of the cookie of the browser that owns it, once the button was pressed.
    pub browser: Option<String>,
    /// When a connection came of it.
    pub used_at: Option<Timestamp>,
}

/// What may be done with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// The button may be pressed by the browser that asks.
    Open,
    /// Another browser has pressed it.
    Taken,
    /// A connection came of it.
    Used,
    /// Too old.
    Expired,
}

impl Link {
    /// What the browser with this cookie digest may do with the link at a moment.
    pub fn state(&self, browser: Option<&str>, now: Timestamp) -> LinkState {
        if self.used_at.is_some() {
            LinkState::Used
        } else if self.expires_at <= now {
            LinkState::Expired
        } else if self.browser.is_some() && self.browser.as_deref() != browser {
            LinkState::Taken
        } else {
            LinkState::Open
        }
    }
}

/// Where a flow stands. Each step is one conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowStatus {
    /// The browser is at RingCentral.
    Started,
    /// A callback has taken the code to exchange it; there is no second attempt with this code.
    Exchanging,
    /// A connection came of it.
    Done,
}

impl FlowStatus {
    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Exchanging => "exchanging",
            Self::Done => "done",
        }
    }

    /// The status behind a stored word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Started, Self::Exchanging, Self::Done].into_iter().find(|status| status.as_str() == text)
    }
}

/// One browser's way through OAuth, from the button to the page after it.
#[derive(Debug, Clone)]
pub struct Flow {
    /// SHA-256 of the `state` that RingCentral sends back: the flow's id.
    pub id: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's name as the link has it, for the page after success.
    pub tenant_name: String,
    /// Digest of the link's token.
    pub link: String,
    /// Digest of the browser's cookie.
    pub browser: String,
    /// The RingCentral server that issues the tokens. A flow that was begun at another one than this deployment's is not
    /// finished.
    pub issuer: String,
    /// The redirect address that the authorization was asked for.
    pub redirect_uri: String,
    /// The id that the connection will have, so that its data keys can be made before the code is spent.
    pub connection: ConnectionId,
    /// Where the page after success links back to.
    pub return_url: Option<String>,
    /// Where it stands.
    pub status: FlowStatus,
    /// From when on it is dead.
    pub expires_at: Timestamp,
}

/// The cookie that ties a flow to one browser, and the flow's PKCE verifier with it.
///
/// There is one per link, named after it, so that two links in one browser don't disturb each other.
#[derive(Debug, Clone)]
pub struct BrowserKey(Secret);

impl BrowserKey {
    /// A new one.
    pub fn generate() -> Self {
        Self(Secret::random())
    }

    /// `None` if a cookie's value can't be one.
    pub fn parse(text: &str) -> Option<Self> {
        is_random_secret(text).then(|| Self(Secret::new(text)))
    }

    /// What is stored of it.
    pub fn digest(&self) -> String {
        self.0.digest()
    }

    /// The cookie's value.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The PKCE verifier of a flow: HMAC-SHA256 of flow id and issuer, with the cookie's bytes as key. It is never
    /// stored, so a callback in another browser cannot redeem the code (reliability rule 2).
    pub fn verifier(&self, flow: &str, issuer: &str) -> Secret {
        use aws_lc_rs::hmac;
        let bytes =
            data_encoding::BASE64URL_NOPAD.decode(self.0.expose().as_bytes()).map(zeroize::Zeroizing::new);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes.expect("a browser key is 32 bytes in base64url"));
        let tag = hmac::sign(&key, format!("{flow}\n{issuer}").as_bytes());
        Secret::new(data_encoding::BASE64URL_NOPAD.encode(tag.as_ref()))
    }

    /// Name of the cookie for a link. `__Host-` keeps other hosts and paths from setting it.
    pub fn cookie_name(link: &str) -> String {
        format!("__Host-ringbridge-{}", &link[..16])
    }
}

/// Name of the cookie by which the page after success finds what to show.
pub const DONE_COOKIE: &str = "__Host-ringbridge-done";

/// When a flow that starts now is dead.
pub fn flow_end(now: Timestamp) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(limits::FLOW_SECONDS)).unwrap_or(now)
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
        }
    }

    #[test]
    fn a_link_belongs_to_the_browser_that_pressed_first() {
        let now = Timestamp::from_second(50).unwrap();
        assert_eq!(link(false, None).state(None, now), LinkState::Open);
        assert_eq!(link(false, Some("a")).state(Some("a"), now), LinkState::Open);
        assert_eq!(link(false, Some("a")).state(Some("b"), now), LinkState::Taken);
        assert_eq!(link(false, Some("a")).state(None, now), LinkState::Taken);
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
    fn nonsense_is_no_token_and_no_cookie() {
        for bad in ["", "short", &"a".repeat(44), &"=".repeat(43), &"é".repeat(22)] {
            assert!(ConnectToken::parse(bad).is_none() && BrowserKey::parse(bad).is_none());
        }
    }
}
