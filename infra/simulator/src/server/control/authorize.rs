//! `POST /_sim/authorize`: signs a user in and grants or denies access, without a browser.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use crate::platform::errors::OauthError;
use crate::rules::authorization::{AuthorizeRefusal, check_authorize_request, deny_access, grant_access};
use crate::rules::grants::check_sign_in;
use crate::rules::parameters::OauthParameters;
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::control::replies::{ControlError, ControlReply, parse_body};

/// Either the parameters of an authorize request, or its whole URL.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct AuthorizeBody {
    url: Option<String>,
    client_id: Option<String>,
    redirect_uri: Option<String>,
    state: Option<String>,
    scope: Option<String>,
    code_challenge: Option<String>,
    /// Default: `S256`.
    code_challenge_method: Option<String>,
    username: String,
    extension: Option<String>,
    deny: bool,
}

impl AuthorizeBody {
    fn parameters(&self) -> Result<OauthParameters, OauthError> {
        if let Some(url) = &self.url {
            let url = url::Url::parse(url).map_err(|_| OauthError::parameter("url"))?;
            return OauthParameters::parse(url.query().unwrap_or_default().as_bytes());
        }
        let method =
            self.code_challenge.as_ref().map(|_| self.code_challenge_method.as_deref().unwrap_or("S256"));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("response_type", "code");
        let pairs = [
            ("client_id", self.client_id.as_deref()),
            ("redirect_uri", self.redirect_uri.as_deref()),
            ("state", self.state.as_deref()),
            ("scope", self.scope.as_deref()),
            ("code_challenge", self.code_challenge.as_deref()),
            ("code_challenge_method", method),
        ];
        query.extend_pairs(pairs.into_iter().filter_map(|(name, value)| Some((name, value?))));
        OauthParameters::parse(query.finish().as_bytes())
    }
}

/// Replies with the URL that a browser would be redirected to.
pub async fn authorize(State(core): State<Arc<SimulatorCore>>, bytes: Bytes) -> ControlReply {
    let body: AuthorizeBody = parse_body(&bytes)?;
    core.update(|state, now| {
        let parameters = body.parameters()?;
        let ticket = match check_authorize_request(state, now, &parameters) {
            Ok(ticket) => ticket,
            Err(AuthorizeRefusal::ShowError(error)) => return Err(error.into()),
            Err(AuthorizeRefusal::Redirect(to)) => return Ok(Json(json!({"redirect": to}))),
        };
        if body.deny {
            return Ok(Json(json!({"redirect": deny_access(&ticket)})));
        }
        let user = state.user(&body.username, body.extension.as_deref());
        let user = user.ok_or_else(|| ControlError::bad_request("username: no such user"))?;
        check_sign_in(user)?;
        let user = user.id;
        Ok(Json(json!({"redirect": grant_access(state, now, &ticket, user)})))
    })
}
