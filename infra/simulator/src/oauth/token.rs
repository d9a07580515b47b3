//! `POST /restapi/oauth/token`: every grant of the reference.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::clock::Millis;
use crate::error::OauthError;
use crate::limits::{Group, Verdict};
use crate::oauth::sessions::Wishes;
use crate::oauth::{Params, client};
use crate::sim::Sim;
use crate::state::{App, Extension, World};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Is the body a form?
pub fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}

/// The endpoint.
pub async fn post(State(sim): State<Arc<Sim>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_form(&headers) {
        let error = OauthError::new(
            "invalid_request",
            "CMN-407",
            "Content-Type must be application/x-www-form-urlencoded",
        );
        return OauthError { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..error }.into_response();
    }
    sim.world(|world, now| answer(world, now, &headers, &body))
}

fn answer(world: &mut World, now: Millis, headers: &HeaderMap, body: &[u8]) -> Response {
    let params = match Params::parse(body) {
        Ok(params) => params,
        Err(error) => return error.into_response(),
    };
    let grant = params.get("grant_type").unwrap_or_default().to_owned();
    let client = client::authenticated(world, now, headers, &params).cloned();
    let user = subject(world, &params).map(|e| (e.id, e.account_id));
    let refused = |world: &mut World, error: OauthError| {
        let error = error.at(&world.settings);
        let entry = json!({
            "endpoint": "token", "grant": grant, "error": error.error, "code": error.code,
            "extensionId": user.map(|u| u.0.to_string()), "accountId": user.map(|u| u.1.to_string()),
            "clientId": client.as_ref().ok().map(|c| c.client_id.clone()),
            "presented": params.get("refresh_token").map(crate::ledger::fingerprint),
        });
        world.ledger.add(now, "token_refused", entry);
        error.into_response()
    };
    let app = match &client {
        Ok(app) => app,
        Err(error) => return refused(world, error.clone()),
    };
    // A request whose user is unknown counts against the app alone.
    let name = user.map_or_else(|| "-".to_owned(), |u| u.0.to_string());
    let settings = world.settings.clone();
    let verdicts: Vec<Verdict> = [
        world.limits.count_app(&settings, now, &app.client_id),
        world.limits.count(&settings, now, &name, &app.client_id, Group::Auth),
    ]
    .into_iter()
    .flatten()
    .collect();
    let verdict = verdicts.iter().find(|v| v.excess().is_some()).or_else(|| verdicts.last()).cloned();
    let mut response = match verdict.as_ref().and_then(Verdict::excess) {
        Some(excess) => {
            let user = user.map(|u| u.0);
            world.refuse(now, "/restapi/oauth/token", user, Some(&app.client_id), excess).into_response()
        }
        None => match granted(world, now, app, &params) {
            Ok(reply) => {
                let mut response = Json(reply).into_response();
                response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
                response.headers_mut().insert("pragma", HeaderValue::from_static("no-cache"));
                response
            }
            Err(error) => refused(world, error),
        },
    };
    if let Some(verdict) = verdict {
        verdict.write(response.headers_mut());
    }
    response
}

/// The user that a token request is about, as far as its credential tells.
pub fn subject<'w>(world: &'w World, params: &Params) -> Option<&'w Extension> {
    let by_code = || Some(world.oauth.codes.get(params.get("code")?)?.extension_id);
    let by_refresh = || Some(world.session_of(params.get("refresh_token")?)?.extension_id);
    let by_jwt = || {
        let assertion = params.get("assertion")?;
        world.extensions.values().find(|e| e.jwt == assertion).map(|e| e.id)
    };
    let by_name = || world.user(params.get("username")?, params.get("extension")).map(|e| e.id);
    let id = by_code().or_else(by_refresh).or_else(by_jwt).or_else(by_name)?;
    world.extensions.get(&id)
}

fn granted(world: &mut World, now: Millis, app: &App, params: &Params) -> Result<Value, OauthError> {
    let number = |name: &str| match params.get(name) {
        None => Ok(None),
        Some(text) => text.parse::<i64>().map(Some).map_err(|_| OauthError::parameter(name)),
    };
    let wishes = Wishes {
        access_ttl: number("access_token_ttl")?,
        refresh_ttl: number("refresh_token_ttl")?,
        endpoint_id: params.get("endpoint_id").map(str::to_owned),
        scope: params.get("scope").map(str::to_owned),
    };
    let grant = params.need("grant_type")?;
    match grant {
        "authorization_code" => by_code(world, now, app, params, wishes),
        "refresh_token" => world.refresh(now, &app.client_id, params.need("refresh_token")?, &wishes),
        JWT_BEARER => {
            let assertion = params.need("assertion")?;
            if assertion.split('.').count() != 3 {
                return Err(OauthError {
                    parameter: Some("assertion".to_owned()),
                    ..OauthError::new("invalid_grant", "CMN-101", "Unparseable assertion")
                });
            }
            let user = world.extensions.values().find(|e| e.jwt == assertion).cloned();
            let user = user.ok_or_else(|| {
                OauthError::new("invalid_grant", "OAU-149", "Assertion can not be verified")
            })?;
            begin(world, now, app, &user, grant, &wishes)
        }
        "password" => {
            let (name, password) = (params.need("username")?, params.need("password")?);
            let user = world.user(name, params.get("extension")).filter(|e| e.password == password).cloned();
            let user = user.ok_or_else(|| {
                OauthError::new("invalid_grant", "OAU-140", "Invalid resource owner credentials")
            })?;
            begin(world, now, app, &user, grant, &wishes)
        }
        "partner_jwt" => {
            Err(OauthError::new("unauthorized_client", "OAU-112", "Grant type is not allowed for the client"))
        }
        _ => Err(OauthError::new("unsupported_grant_type", "OAU-125", "Unsupported grant type")),
    }
}

fn begin(
    world: &mut World,
    now: Millis,
    app: &App,
    user: &Extension,
    grant: &str,
    wishes: &Wishes,
) -> Result<Value, OauthError> {
    may_log_in(user)?;
    Ok(world.begin_session(now, &app.client_id, user, grant, wishes))
}

/// May this extension sign in at all?
pub fn may_log_in(user: &Extension) -> Result<(), OauthError> {
    if user.kind == "Department" {
        Err(OauthError::new("invalid_grant", "OAU-163", "Login of a call queue is not allowed"))
    } else if user.kind != "User" {
        Err(OauthError::new("invalid_grant", "OAU-105", "Login is not allowed for this extension type"))
    } else if user.status != "Enabled" {
        Err(OauthError::new("invalid_grant", "OAU-141", "The state of the extension forbids login"))
    } else {
        Ok(())
    }
}

fn by_code(
    world: &mut World,
    now: Millis,
    app: &App,
    params: &Params,
    mut wishes: Wishes,
) -> Result<Value, OauthError> {
    let invalid = |code, text: &str| OauthError::new("invalid_grant", code, text);
    let text = params.need("code")?;
    let code = world
        .oauth
        .codes
        .get(text)
        .cloned()
        .ok_or_else(|| invalid("OAU-106", "Invalid authorization code"))?;
    if code.used {
        return Err(invalid("OAU-106", "Authorization code was used"));
    }
    if code.client_id != app.client_id {
        return Err(invalid("OAU-110", "Authorization code belongs to another application"));
    }
    if now >= code.expires_at {
        return Err(invalid("OAU-108", "Authorization code expired"));
    }
    if params.get("redirect_uri") != Some(code.redirect_uri.as_str()) {
        return Err(invalid("OAU-109", "Redirect URIs do not match"));
    }
    // From here on the code is spent, whatever the verifier says.
    if let Some(stored) = world.oauth.codes.get_mut(text) {
        stored.used = true;
    }
    if let Some((challenge, method)) = &code.challenge {
        let verifier = params.get("code_verifier").unwrap_or_default();
        let answer = if method == "S256" {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
            data_encoding::BASE64URL_NOPAD.encode(digest.as_ref())
        } else {
            verifier.to_owned()
        };
        if verifier.is_empty() || answer != *challenge {
            return Err(OauthError {
                parameter: Some("code_verifier".to_owned()),
                ..invalid("OAU-106", "Code verifier does not match")
            });
        }
    } else if params.get("code_verifier").is_some() {
        return Err(OauthError {
            parameter: Some("code_verifier".to_owned()),
            ..invalid("OAU-106", "No code challenge was sent")
        });
    }
    let user = world.extensions.get(&code.extension_id).cloned();
    let user = user.ok_or_else(|| invalid("OAU-136", "Extension not found"))?;
    wishes.scope = code.scope.clone();
    begin(world, now, app, &user, "authorization_code", &wishes)
}
