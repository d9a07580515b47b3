//! Client authentication at the token and revoke endpoints: Basic credentials, the client id in the body, both, or a
//! signed assertion.

use serde_json::Value;

use crate::platform::accounts::AppRecord;
use crate::platform::clock::{Millis, SECOND};
use crate::platform::errors::OauthError;
use crate::platform::state::PlatformState;
use crate::rules::parameters::OauthParameters;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The app that sends a request. `authorization` is its `Authorization` header.
pub fn authenticate_client<'s>(
    state: &'s PlatformState,
    now: Millis,
    authorization: Option<&str>,
    parameters: &OauthParameters,
) -> Result<&'s AppRecord, OauthError> {
    let unknown = || OauthError::new("invalid_client", "OAU-153", "Invalid client");
    let missing = || OauthError::new("invalid_client", "OAU-123", "Client authentication is required");
    let in_body = parameters.get("client_id");
    if let Some(assertion) = parameters.get("client_assertion") {
        if parameters.get("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(OauthError::parameter("client_assertion_type"));
        }
        return asserted_client(state, now, assertion)
            .filter(|app| in_body.is_none_or(|id| id == app.client_id))
            .ok_or_else(unknown);
    }
    let Some(header) = authorization else {
        let app = state.app(in_body.ok_or_else(missing)?).ok_or_else(unknown)?;
        return if app.client_secret.is_none() { Ok(app) } else { Err(missing()) };
    };
    let (id, secret) = parse_basic(header).ok_or_else(missing)?;
    if in_body.is_some_and(|other| other != id) {
        let text = "Client id differs from the Authorization header";
        return Err(OauthError::new("invalid_request", "OAU-150", text).about_parameter("client_id"));
    }
    let app = state.app(&id).ok_or_else(unknown)?;
    // The Python SDK sends Basic with an empty secret for public apps.
    if app.client_secret.as_deref().unwrap_or_default() == secret {
        Ok(app)
    } else {
        Err(OauthError::new("invalid_client", "OAU-146", "Invalid client credentials"))
    }
}

/// Client id and secret of `Basic base64(id:secret)`.
fn parse_basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = data_encoding::BASE64.decode(encoded.trim().as_bytes()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// `client_secret_jwt`: the app is issuer and subject of a JWT, signed by HS256 with its secret.
fn asserted_client<'s>(state: &'s PlatformState, now: Millis, assertion: &str) -> Option<&'s AppRecord> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
    };
    let (header, claims) = (json(header)?, json(payload)?);
    let app = state.app(claims["iss"].as_str()?)?;
    let key =
        aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, app.client_secret.as_deref()?.as_bytes());
    let signature = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    let valid = header["alg"] == "HS256"
        && claims["sub"] == claims["iss"]
        && claims["exp"].as_i64().is_some_and(|exp| now < exp.saturating_mul(SECOND))
        && aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &signature).is_ok();
    valid.then_some(app)
}
