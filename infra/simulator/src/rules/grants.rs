//! The grants of the token endpoint.

use serde_json::Value;

use crate::platform::accounts::{AppRecord, ExtensionRecord};
use crate::platform::clock::Millis;
use crate::platform::errors::OauthError;
use crate::platform::sessions::{ChallengeMethod, CodeChallenge};
use crate::platform::state::PlatformState;
use crate::rules::parameters::OauthParameters;
use crate::rules::sessions::TokenRequestOptions;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The user of a token request, as far as its credential identifies one.
#[must_use]
pub fn user_of_request<'s>(
    state: &'s PlatformState,
    parameters: &OauthParameters,
) -> Option<&'s ExtensionRecord> {
    let by_code = || Some(state.logins.codes.get(parameters.get("code")?)?.extension_id);
    let by_refresh_token = || Some(state.logins.session_of(parameters.get("refresh_token")?)?.extension_id);
    let by_jwt = || Some(user_of_jwt(state, parameters.get("assertion")?)?.id);
    let by_name = || Some(state.user(parameters.get("username")?, parameters.get("extension"))?.id);
    let id = by_code().or_else(by_refresh_token).or_else(by_jwt).or_else(by_name)?;
    state.extensions.get(&id)
}

fn user_of_jwt<'s>(state: &'s PlatformState, assertion: &str) -> Option<&'s ExtensionRecord> {
    state.extensions.values().find(|e| e.jwt == assertion)
}

/// Processes a token request of an authenticated app and returns the token reply.
pub fn grant_tokens(
    state: &mut PlatformState,
    now: Millis,
    app: &AppRecord,
    parameters: &OauthParameters,
) -> Result<Value, OauthError> {
    let number = |name: &str| match parameters.get(name) {
        None => Ok(None),
        Some(text) => text.parse::<i64>().map(Some).map_err(|_| OauthError::parameter(name)),
    };
    let options = TokenRequestOptions {
        access_ttl: number("access_token_ttl")?,
        refresh_ttl: number("refresh_token_ttl")?,
        endpoint_id: parameters.get("endpoint_id").map(str::to_owned),
        scope: parameters.get("scope").map(str::to_owned),
    };
    let invalid_grant = |code, text: &str| OauthError::new("invalid_grant", code, text);
    let grant = parameters.require("grant_type")?;
    match grant {
        "authorization_code" => exchange_code(state, now, app, parameters, options),
        "refresh_token" => state.refresh(now, &app.client_id, parameters.require("refresh_token")?, &options),
        JWT_BEARER => {
            let assertion = parameters.require("assertion")?;
            if assertion.split('.').count() != 3 {
                return Err(invalid_grant("CMN-101", "Unparseable assertion").about_parameter("assertion"));
            }
            let user = user_of_jwt(state, assertion).cloned();
            let user = user.ok_or_else(|| invalid_grant("OAU-149", "Assertion can not be verified"))?;
            sign_in(state, now, app, &user, grant, &options)
        }
        "password" => {
            let (name, password) = (parameters.require("username")?, parameters.require("password")?);
            let user = state.user(name, parameters.get("extension")).filter(|e| e.password == password);
            let user = user.cloned();
            let user = user.ok_or_else(|| invalid_grant("OAU-140", "Invalid resource owner credentials"))?;
            sign_in(state, now, app, &user, grant, &options)
        }
        "partner_jwt" => {
            Err(OauthError::new("unauthorized_client", "OAU-112", "Grant type is not allowed for the client"))
        }
        _ => Err(OauthError::new("unsupported_grant_type", "OAU-125", "Unsupported grant type")),
    }
}

fn sign_in(
    state: &mut PlatformState,
    now: Millis,
    app: &AppRecord,
    user: &ExtensionRecord,
    grant: &str,
    options: &TokenRequestOptions,
) -> Result<Value, OauthError> {
    check_sign_in(user)?;
    Ok(state.start_session(now, &app.client_id, user, grant, options))
}

/// Refuses call queues, other extensions that are not users, and disabled users.
pub fn check_sign_in(user: &ExtensionRecord) -> Result<(), OauthError> {
    let refused = |code, text: &str| Err(OauthError::new("invalid_grant", code, text));
    if user.kind == "Department" {
        refused("OAU-163", "Login of a call queue is not allowed")
    } else if user.kind != "User" {
        refused("OAU-105", "Login is not allowed for this extension type")
    } else if user.status != "Enabled" {
        refused("OAU-141", "The state of the extension forbids login")
    } else {
        Ok(())
    }
}

fn exchange_code(
    state: &mut PlatformState,
    now: Millis,
    app: &AppRecord,
    parameters: &OauthParameters,
    mut options: TokenRequestOptions,
) -> Result<Value, OauthError> {
    let invalid = |code, text: &str| OauthError::new("invalid_grant", code, text);
    let text = parameters.require("code")?;
    let code = state.logins.codes.get_mut(text);
    let code = code.ok_or_else(|| invalid("OAU-106", "Invalid authorization code"))?;
    if code.used {
        return Err(invalid("OAU-106", "Authorization code was used"));
    }
    if code.client_id != app.client_id {
        return Err(invalid("OAU-110", "Authorization code belongs to another application"));
    }
    if now >= code.expires_at {
        return Err(invalid("OAU-108", "Authorization code expired"));
    }
    if parameters.get("redirect_uri") != Some(code.redirect_uri.as_str()) {
        return Err(invalid("OAU-109", "Redirect URIs do not match"));
    }
    // A wrong verifier uses up the code as well.
    code.used = true;
    let code = code.clone();
    let problem = match (&code.challenge, parameters.get("code_verifier")) {
        (None, None) => None,
        (None, Some(_)) => Some("No code challenge was sent"),
        (Some(challenge), verifier) => {
            let matches = verifier.is_some_and(|verifier| is_answered_by(challenge, verifier));
            (!matches).then_some("Code verifier does not match")
        }
    };
    if let Some(problem) = problem {
        return Err(invalid("OAU-106", problem).about_parameter("code_verifier"));
    }
    let user = state.extensions.get(&code.extension_id).cloned();
    let user = user.ok_or_else(|| invalid("OAU-136", "Extension not found"))?;
    options.scope = code.scope;
    sign_in(state, now, app, &user, "authorization_code", &options)
}

fn is_answered_by(challenge: &CodeChallenge, verifier: &str) -> bool {
    match challenge.method {
        ChallengeMethod::Plain => verifier == challenge.challenge,
        ChallengeMethod::S256 => {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
            data_encoding::BASE64URL_NOPAD.encode(digest.as_ref()) == challenge.challenge
        }
    }
}
