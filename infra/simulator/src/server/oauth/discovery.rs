//! OpenID Connect: user info, configuration, keys.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::platform::errors::RestError;
use crate::rules::caller::ApiCaller;
use crate::runtime::simulator_core::SimulatorCore;

/// `GET /restapi/oauth/userinfo`.
pub async fn get_userinfo(
    State(core): State<Arc<SimulatorCore>>,
    Extension(caller): Extension<ApiCaller>,
) -> Result<Json<Value>, RestError> {
    core.update(|state, _| {
        let user = caller.own_extension(state)?;
        Ok(Json(json!({
            "sub": user.id.to_string(),
            "email": user.email,
            "email_verified": true,
            "account_id": user.account_id.to_string(),
            "given_name": user.first_name,
            "family_name": user.last_name,
        })))
    })
}

/// `GET /.well-known/openid-configuration`.
pub async fn get_openid_configuration(State(core): State<Arc<SimulatorCore>>) -> Json<Value> {
    let at = |path: &str| core.url(path);
    Json(json!({
        "issuer": at(""),
        "authorization_endpoint": at("/restapi/oauth/authorize"),
        "token_endpoint": at("/restapi/oauth/token"),
        "revocation_endpoint": at("/restapi/oauth/revoke"),
        "userinfo_endpoint": at("/restapi/oauth/userinfo"),
        "jwks_uri": at("/restapi/oauth/jwks"),
        "scopes_supported": ["openid", "email", "profile"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_jwt"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "userinfo_signing_alg_values_supported": ["none"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256"],
        "display_values_supported": ["page", "popup", "touch", "mobile"],
        "claims_supported": ["sub", "iss", "auth_time", "aud", "exp", "iat", "jti", "nonce", "account_id", "email",
            "email_verified", "given_name", "family_name"],
        "ui_locales_supported": ["en-US"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    }))
}

/// `GET /restapi/oauth/jwks`: the simulator signs no id tokens, so it has no keys.
pub async fn get_jwks() -> Json<Value> {
    Json(json!({"keys": []}))
}
