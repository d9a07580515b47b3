//! Conversion of tokens from and to the `oauth2` crate (feature `oauth2`).

use jiff::{SignedDuration, Timestamp};
use oauth2::basic::{BasicTokenResponse, BasicTokenType};
use oauth2::{EmptyExtraTokenFields, TokenResponse};

use crate::tokens::TokenSet;

/// The lifetime of an access token whose response does not contain it: RingCentral's default.
const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_secs(3600);

impl TokenSet {
    /// Converts a token response that the `oauth2` crate received at `received_at`. That crate does not keep when the
    /// refresh token expires, the owner and the session, so these are `None`.
    #[must_use]
    pub fn from_oauth2(response: &impl TokenResponse, received_at: Timestamp) -> Self {
        let lifetime = response.expires_in().and_then(|lifetime| SignedDuration::try_from(lifetime).ok());
        let expires_at =
            received_at.checked_add(lifetime.unwrap_or(DEFAULT_LIFETIME)).unwrap_or(Timestamp::MAX);
        let mut set = Self::new(response.access_token().secret().as_str(), expires_at);
        set.refresh_token = response.refresh_token().map(|token| token.secret().as_str().into());
        set.scope = response.scopes().into_iter().flatten().map(|scope| scope.to_string()).collect();
        set
    }

    /// Converts the tokens to the `oauth2` crate's type, with the lifetime that remains at `now`.
    #[must_use]
    pub fn to_oauth2(&self, now: Timestamp) -> BasicTokenResponse {
        let token = oauth2::AccessToken::new(self.access_token.expose().to_owned());
        let mut response = BasicTokenResponse::new(token, BasicTokenType::Bearer, EmptyExtraTokenFields {});
        let remaining =
            std::time::Duration::try_from(self.expires_at.duration_since(now)).unwrap_or_default();
        response.set_expires_in(Some(&remaining));
        response.set_refresh_token(
            self.refresh_token.as_ref().map(|token| oauth2::RefreshToken::new(token.expose().to_owned())),
        );
        if !self.scope.is_empty() {
            response.set_scopes(Some(self.scope.iter().cloned().map(oauth2::Scope::new).collect()));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_there_and_back_keeps_the_tokens() {
        let now = Timestamp::UNIX_EPOCH;
        let mut set = TokenSet::new("access", Timestamp::from_second(3600).expect("in range"))
            .with_refresh_token("refresh", None);
        set.scope = vec!["SMS".to_owned(), "ReadAccounts".to_owned()];
        assert_eq!(TokenSet::from_oauth2(&set.to_oauth2(now), now), set);
    }

    #[test]
    fn a_ringcentral_response_that_the_oauth2_crate_has_read_is_converted() {
        let json = r#"{"access_token":"a","token_type":"bearer","expires_in":3599,"refresh_token":"r",
            "refresh_token_expires_in":604799,"scope":"SMS ReadMessages","owner_id":"1","endpoint_id":"e"}"#;
        let response: BasicTokenResponse = serde_json::from_str(json).expect("read by oauth2");
        let set = TokenSet::from_oauth2(&response, Timestamp::UNIX_EPOCH);
        assert_eq!(set.expires_at.as_second(), 3599);
        assert_eq!(set.refresh_token, Some("r".into()));
        assert_eq!(set.scope, ["SMS", "ReadMessages"]);
    }
}
