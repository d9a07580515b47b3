//! Webhook signatures of Standard Webhooks (<https://www.standardwebhooks.com>, version 1, symmetric). Any of its libraries verifies
//! them.

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use jiff::Timestamp;

use super::secret::Secret;

pub const SECRET_PREFIX: &str = "whsec_";

/// The value of `webhook-signature`: one signature per secret, so that receivers can switch secrets at any time during a rotation.
/// `None` if a secret is malformed.
pub fn sign(secrets: &[Secret], id: &str, at: Timestamp, body: &str) -> Option<String> {
    let signed = format!("{id}.{}.{body}", at.as_second());
    let mut all = Vec::new();
    for secret in secrets {
        let bytes = BASE64.decode(secret.expose().strip_prefix(SECRET_PREFIX)?.as_bytes()).ok()?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), signed.as_bytes());
        all.push(format!("v1,{}", BASE64.encode(tag.as_ref())));
    }
    (!all.is_empty()).then(|| all.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vector_of_the_reference_libraries_is_reproduced() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signature = sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_signs_and_what_is_no_secret_does_not() {
        let at = Timestamp::UNIX_EPOCH;
        let [one, two] = ["whsec_AAAA", "whsec_BBBB"].map(Secret::new);
        let both = sign(&[one.clone(), two], "evt_1", at, "{}").unwrap();
        assert_eq!(both.split(' ').count(), 2);
        assert!(both.starts_with(&sign(&[one], "evt_1", at, "{}").unwrap()));
        assert_eq!(sign(&[], "evt_1", at, "{}"), None);
        assert_eq!(sign(&[Secret::new("nonsense")], "evt_1", at, "{}"), None);
    }
}
