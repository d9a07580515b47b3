//! Tokens from and to the `oauth2` crate (feature `oauth2`).

use jiff::{SignedDuration, Timestamp};
use oauth2::basic::{BasicTokenResponse, BasicTokenType};
use oauth2::{EmptyExtraTokenFields, TokenResponse};

use crate::tokens::TokenSet;

/// The life of an access token whose answer does not tell it: RingCentral's default.
const DEFAULT_LIFE: SignedDuration = SignedDuration::from_secs(3600);

impl TokenSet {
    /// Takes over the answer that the `oauth2` crate got at `received_at`. What that crate does not keep (when
    /// the refresh token ends, owner, session) is unknown.
    #[must_use]
    pub fn from_oauth2(answer: &impl TokenResponse, received_at: Timestamp) -> Self {
        let life = answer.expires_in().and_then(|life| SignedDuration::try_from(life).ok());
        let ends = received_at.checked_add(life.unwrap_or(DEFAULT_LIFE)).unwrap_or(Timestamp::MAX);
        let mut set = Self::new(answer.access_token().secret().as_str(), ends);
        set.refresh_token = answer.refresh_token().map(|token| token.secret().as_str().into());
        set.scope = answer.scopes().into_iter().flatten().map(|scope| scope.to_string()).collect();
        set
    }

    /// The same tokens as the `oauth2` crate's, with the life that is left at `now`.
    #[must_use]
    pub fn to_oauth2(&self, now: Timestamp) -> BasicTokenResponse {
        let token = oauth2::AccessToken::new(self.access_token.expose().to_owned());
        let mut answer = BasicTokenResponse::new(token, BasicTokenType::Bearer, EmptyExtraTokenFields {});
        let left = std::time::Duration::try_from(self.expires_at.duration_since(now)).unwrap_or_default();
        answer.set_expires_in(Some(&left));
        answer.set_refresh_token(
            self.refresh_token.as_ref().map(|token| oauth2::RefreshToken::new(token.expose().to_owned())),
        );
        if !self.scope.is_empty() {
            answer.set_scopes(Some(self.scope.iter().cloned().map(oauth2::Scope::new).collect()));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_there_and_back() {
        let now = Timestamp::UNIX_EPOCH;
        let mut set = TokenSet::new("access", Timestamp::from_second(3600).expect("in range"))
            .with_refresh_token("refresh", None);
        set.scope = vec!["SMS".to_owned(), "ReadAccounts".to_owned()];
        assert_eq!(TokenSet::from_oauth2(&set.to_oauth2(now), now), set);
    }

    #[test]
    fn an_answer_of_ringcentral_read_by_the_other_crate_is_taken_over() {
        let json = r#"{"access_token":"a","token_type":"bearer","expires_in":3599,"refresh_token":"r",
            "refresh_token_expires_in":604799,"scope":"SMS ReadMessages","owner_id":"1","endpoint_id":"e"}"#;
        let answer: BasicTokenResponse = serde_json::from_str(json).expect("read by oauth2");
        let set = TokenSet::from_oauth2(&answer, Timestamp::UNIX_EPOCH);
        assert_eq!(set.expires_at.as_second(), 3599);
        assert_eq!(set.refresh_token, Some("r".into()));
        assert_eq!(set.scope, ["SMS", "ReadMessages"]);
    }
}
