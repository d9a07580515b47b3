//! S3 with the buckets of the template: objects in memory and in the data folder, signatures, permissions, lifecycle rules.
//!
//! `s3s` verifies signatures, parses requests and formats responses. What it does not check, and AWS does, is checked before:
//! the time of a signature by the stack's clock, session tokens, unsigned `x-amz-` headers, and the digests of bodies.

mod access;
mod backend;
pub mod object;
pub mod request_check;
pub mod store;

use super::error::AwsError;
use super::iam::FunctionPolicies;
use super::request::AwsCall;
use super::s3_wire::{S3ErrorName, error_response, with_request_id};
use crate::clock::StackClock;
use crate::server::HttpResponse;
use access::S3Authorizer;
use backend::S3Backend;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use std::sync::Arc;
use store::ObjectStore;

pub struct S3 {
    service: S3Service,
    pub objects: Arc<ObjectStore>,
    clock: StackClock,
}

impl S3 {
    #[must_use]
    pub fn new(objects: ObjectStore, policies: FunctionPolicies, clock: StackClock) -> Self {
        let objects = Arc::new(objects);
        let authorizer = S3Authorizer::new(policies);
        let backend = S3Backend::new(Arc::clone(&objects), authorizer.clone(), clock.clone());
        let mut builder = S3ServiceBuilder::new(backend);
        builder.set_auth(authorizer.clone());
        builder.set_access(authorizer);
        let mut config = S3Config::default();
        // Checked before, by the stack's clock.
        config.presigned_url_max_skew_time_secs = u32::MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        Self { service: builder.build(), objects, clock }
    }

    pub async fn handle(&self, call: &AwsCall) -> HttpResponse {
        if let Err(error) = request_check::check(call, &self.clock) {
            return error_response(&error, &call.http.method);
        }
        let mut request = Request::new(s3s::Body::from(call.http.body.clone()));
        *request.method_mut() = call.http.method.clone();
        *request.uri_mut() = call.http.uri.clone();
        *request.headers_mut() = call.http.headers.clone();
        let Ok(response) = self.service.call(request).await else {
            return error_response(&internal_error(), &call.http.method);
        };
        let (head, body) = response.into_parts();
        let Ok(body) = body.collect().await else {
            return error_response(&internal_error(), &call.http.method);
        };
        let body = body.to_bytes();
        let code = if head.status.is_client_error() || head.status.is_server_error() {
            let text = String::from_utf8_lossy(&body);
            let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
            code.map(|(code, _)| S3ErrorName(code.to_owned()))
        } else {
            None
        };
        let mut response = Response::from_parts(head, Full::new(body));
        if let Some(code) = code {
            response.extensions_mut().insert(code);
        }
        with_request_id(response)
    }
}

fn internal_error() -> AwsError {
    AwsError::with_status(500, "InternalError", "We encountered an internal error. Please try again.")
}
