//! Signatures of webhooks (Standard Webhooks).

use data_encoding::BASE64;
use http::HeaderMap;
use standardwebhooks::Webhook;

use crate::environment;
use crate::error::{CliError, CliResult};

pub const ID: &str = "webhook-id";
pub const TIMESTAMP: &str = "webhook-timestamp";
pub const SIGNATURE: &str = "webhook-signature";

/// A new secret, for one run.
pub fn new_secret() -> CliResult<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CliError::usage("the system has no random numbers"))?;
    Ok(format!("whsec_{}", BASE64.encode(&bytes)))
}

pub fn webhook(secret: &str) -> CliResult<Webhook> {
    Webhook::new(secret).map_err(|_| CliError::usage("the webhook secret must be whsec_ and base64"))
}

/// The headers of a signed event, as the gateway sends them.
pub fn headers(webhook: &Webhook, id: &str, body: &str) -> CliResult<[(&'static str, String); 3]> {
    let now = environment::now().as_second();
    let signature =
        webhook.sign(id, now, body.as_bytes()).map_err(|error| CliError::usage(error.to_string()))?;
    Ok([(ID, id.to_owned()), (TIMESTAMP, now.to_string()), (SIGNATURE, signature)])
}

/// Why a signature is not valid.
///
/// `ignore_age` accepts a request that was sent long ago.
pub fn verify(webhook: &Webhook, headers: &HeaderMap, body: &[u8], ignore_age: bool) -> Result<(), String> {
    if !ignore_age {
        return webhook.verify(body, headers).map_err(|error| error.to_string());
    }
    let text = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).ok_or(format!("{name} is missing"))
    };
    let (id, signatures) = (text(ID)?, text(SIGNATURE)?);
    let at = text(TIMESTAMP)?.parse().map_err(|_| format!("{TIMESTAMP} is not a number"))?;
    let expected = webhook.sign(id, at, body).map_err(|error| error.to_string())?;
    let matches = signatures.split(' ').any(|signature| {
        aws_lc_rs::constant_time::verify_slices_are_equal(signature.as_bytes(), expected.as_bytes()).is_ok()
    });
    matches.then_some(()).ok_or_else(|| "no signature matches".to_owned())
}
