//! OIDC: who the user is, and where the endpoints are.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension as Given, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::caller::Caller;
use crate::error::ApiError;
use crate::sim::Sim;

/// `GET /restapi/oauth/userinfo`.
pub async fn get(State(sim): State<Arc<Sim>>, Given(caller): Given<Caller>) -> Result<Response, ApiError> {
    sim.world(|world, _| {
        let user = caller.extension(world)?;
        Ok(Json(json!({
            "sub": user.id.to_string(),
            "email": user.email,
            "email_verified": true,
            "account_id": user.account_id.to_string(),
            "given_name": user.first_name,
            "family_name": user.last_name,
        }))
        .into_response())
    })
}

/// `GET /.well-known/openid-configuration`.
pub async fn discovery(State(sim): State<Arc<Sim>>) -> Response {
    let at = |path: &str| sim.uri(path);
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
    .into_response()
}

/// `GET /restapi/oauth/jwks`: id tokens are not signed here, so there are no keys.
pub async fn jwks() -> Response {
    Json(json!({"keys": []})).into_response()
}
