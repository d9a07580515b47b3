//! The token with which a Power Automate flow ends its subscription. Power Automate calls the URL in `Location` without the key
//! of the connection, so the URL carries this proof.

use aws_lc_rs::constant_time;

use super::connect_token::is_random_secret;
use super::ids::TenantId;
use super::secret::Secret;

/// The digits of the tenant id, a dot, and 32 random bytes. With the tenant, the trigger is found without a search. Only the
/// digest of the whole token is stored.
#[derive(Debug, Clone)]
pub struct TriggerToken {
    tenant: TenantId,
    text: Secret,
}

impl TriggerToken {
    pub fn generate(tenant: &TenantId) -> Self {
        let text = format!("{}.{}", tenant.digits(), Secret::random().expose());
        Self { tenant: tenant.clone(), text: Secret::new(text) }
    }

    /// `None` if the text does not have the format of a token.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, random) = text.split_once('.')?;
        let tenant = TenantId::from_record(&format!("{}{digits}", TenantId::PREFIX))?;
        is_random_secret(random).then(|| Self { tenant, text: Secret::new(text) })
    }

    /// The tenant that the token claims; not authenticated.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// SHA-256 in hexadecimal, as it is stored.
    pub fn digest(&self) -> String {
        self.text.digest()
    }

    /// Compares with a stored digest in constant time.
    pub fn matches(&self, digest: &str) -> bool {
        constant_time::verify_slices_are_equal(self.digest().as_bytes(), digest.as_bytes()).is_ok()
    }

    /// The whole token, shown only once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_tenant_and_matches_its_own_digest_only() {
        let tenant = TenantId::generate();
        let (token, other) = (TriggerToken::generate(&tenant), TriggerToken::generate(&tenant));
        let again = TriggerToken::parse(token.expose()).unwrap();
        assert_eq!(again.tenant(), &tenant);
        assert!(again.matches(&token.digest()) && !again.matches(&other.digest()) && !again.matches(""));
        let query = url::form_urlencoded::byte_serialize(token.expose().as_bytes()).collect::<String>();
        assert_eq!(query, token.expose(), "it needs no encoding in a URL");
        for bad in [
            "",
            ".",
            "x.y",
            &token.expose()[1..],
            &format!("{}a", token.expose()),
            &token.expose().replace('.', ""),
        ] {
            assert!(TriggerToken::parse(bad).is_none(), "{bad}");
        }
    }
}
