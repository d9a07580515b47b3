//! The query string of a request, as an argument of a handler.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::rules::query::QueryString;

pub struct Query(pub QueryString);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(QueryString::parse(parts.uri.query())))
    }
}
