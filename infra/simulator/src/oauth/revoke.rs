//! `POST /restapi/oauth/revoke`: ends the whole session of an access or refresh token.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::error::OauthError;
use crate::limits::{Group, Verdict};
use crate::oauth::{Params, client};
use crate::sim::Sim;

/// The endpoint. A token that is unknown or was revoked before is no error (RFC 7009).
pub async fn post(
    State(sim): State<Arc<Sim>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    sim.world(|world, now| {
        let settings = world.settings.clone();
        let answer = || -> Result<Response, OauthError> {
            let params = Params::parse(&body)?;
            let in_query = Params::parse(query.unwrap_or_default().as_bytes())?;
            let app = client::authenticated(world, now, &headers, &params)?.client_id.clone();
            let token = params.get("token").or_else(|| in_query.get("token"));
            let token = token.ok_or_else(|| OauthError::parameter("token"))?;
            let found = world.session_of(token).map(|s| (s.id.clone(), s.client_id.clone(), s.extension_id));
            let name = found.as_ref().map_or_else(|| "-".to_owned(), |f| f.2.to_string());
            let verdict = world.limits.count(&settings, now, &name, &app, Group::Auth);
            let mut response = if let Some(excess) = verdict.as_ref().and_then(Verdict::excess) {
                let user = found.map(|f| f.2);
                world.refuse(now, "/restapi/oauth/revoke", user, Some(&app), excess).into_response()
            } else {
                if let Some((id, owner, _)) = found {
                    if owner != app {
                        return Err(OauthError::new("invalid_client", "OAU-164", "Invalid client"));
                    }
                    world.end_session(now, &id, "revoke");
                }
                StatusCode::OK.into_response()
            };
            if let Some(verdict) = verdict {
                verdict.write(response.headers_mut());
            }
            Ok(response)
        };
        let answer = answer();
        answer.unwrap_or_else(|error| error.at(&world.settings).into_response())
    })
}
