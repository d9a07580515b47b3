//! Which app is calling: Basic credentials, the client id in the body, both, or a signed assertion.

use axum::http::HeaderMap;
use serde_json::Value;

use crate::clock::{Millis, SECOND};
use crate::error::OauthError;
use crate::oauth::Params;
use crate::state::{App, World};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The app that makes a token or revoke request.
pub fn authenticated<'w>(
    world: &'w World,
    now: Millis,
    headers: &HeaderMap,
    params: &Params,
) -> Result<&'w App, OauthError> {
    let unknown = || OauthError::new("invalid_client", "OAU-153", "Invalid client");
    let missing = || OauthError::new("invalid_client", "OAU-123", "Client authentication is required");
    let in_body = params.get("client_id");
    if let Some(assertion) = params.get("client_assertion") {
        if params.get("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(OauthError::parameter("client_assertion_type"));
        }
        return asserted(world, now, assertion)
            .filter(|app| in_body.is_none_or(|id| id == app.client_id))
            .ok_or_else(unknown);
    }
    let Some(header) = headers.get("authorization") else {
        let app = world.app(in_body.ok_or_else(missing)?).ok_or_else(unknown)?;
        return if app.client_secret.is_none() { Ok(app) } else { Err(missing()) };
    };
    let (id, given) = header.to_str().ok().and_then(basic).ok_or_else(missing)?;
    if in_body.is_some_and(|other| other != id) {
        return Err(OauthError {
            parameter: Some("client_id".to_owned()),
            ..OauthError::new("invalid_request", "OAU-150", "Client id differs from the Authorization header")
        });
    }
    let app = world.app(&id).ok_or_else(unknown)?;
    // The Python SDK sends Basic with an empty secret for public apps.
    if app.client_secret.as_deref().unwrap_or_default() == given {
        Ok(app)
    } else {
        Err(OauthError::new("invalid_client", "OAU-146", "Invalid client credentials"))
    }
}

/// `Basic base64(id:secret)`.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = data_encoding::BASE64.decode(encoded.trim().as_bytes()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// `client_secret_jwt`: a JWT of the app about itself, HS256 with its secret.
fn asserted<'w>(world: &'w World, now: Millis, assertion: &str) -> Option<&'w App> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
    };
    let (header, claims) = (json(header)?, json(payload)?);
    let app = world.app(claims["iss"].as_str()?)?;
    let key =
        aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, app.client_secret.as_deref()?.as_bytes());
    let signature = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    let good = header["alg"] == "HS256"
        && claims["sub"] == claims["iss"]
        && claims["exp"].as_i64().is_some_and(|exp| now < exp.saturating_mul(SECOND))
        && aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &signature).is_ok();
    good.then_some(app)
}
