//! The form of S3 on the wire: which operation a request calls, by method, path and query, and errors as XML.

use super::error::AwsError;
use crate::server::{self, HttpRequest, HttpResponse};
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// The operations that the local stack has. Others get `NotImplemented`.
pub const SUPPORTED: [&str; 8] = [
    "PutObject",
    "GetObject",
    "HeadObject",
    "CopyObject",
    "DeleteObject",
    "DeleteObjects",
    "ListObjectsV2",
    "HeadBucket",
];

/// Parameters that select no other operation, because they belong to a signature or to one of the supported operations.
const PLAIN_PARAMETERS: [&str; 16] = [
    "x-id",
    "list-type",
    "prefix",
    "delimiter",
    "max-keys",
    "continuation-token",
    "start-after",
    "encoding-type",
    "fetch-owner",
    "delete",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

/// The operation, and its bucket and key as `{Bucket, Key}`.
#[must_use]
pub fn operation(http: &HttpRequest) -> (String, Value) {
    let path = percent_decode_str(http.uri.path()).decode_utf8_lossy().into_owned();
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = match path.split_once('/') {
        Some((bucket, key)) => (bucket, key),
        None => (path, ""),
    };
    let mut input = json!({});
    if !bucket.is_empty() {
        input["Bucket"] = json!(bucket);
    }
    if !key.is_empty() {
        input["Key"] = json!(key);
    }
    (name(http, !bucket.is_empty(), !key.is_empty()), input)
}

fn name(http: &HttpRequest, has_bucket: bool, has_key: bool) -> String {
    let query = http.uri.query().unwrap_or_default();
    let parameters: Vec<String> =
        url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect();
    let has = |wanted: &str| parameters.iter().any(|name| name == wanted);
    let other = parameters.iter().find(|name| {
        !PLAIN_PARAMETERS.contains(&name.as_str()) && !name.to_ascii_lowercase().starts_with("x-amz-")
    });
    if let Some(other) = other {
        return format!("{} ?{other}", http.method);
    }
    let is_copy = http.headers.contains_key("x-amz-copy-source");
    let name = match (&http.method, has_bucket, has_key) {
        (&Method::PUT, true, true) if is_copy => "CopyObject",
        (&Method::PUT, true, true) => "PutObject",
        (&Method::GET, true, true) => "GetObject",
        (&Method::HEAD, true, true) => "HeadObject",
        (&Method::DELETE, true, true) => "DeleteObject",
        (&Method::POST, true, false) if has("delete") => "DeleteObjects",
        (&Method::GET, true, false) if has("list-type") => "ListObjectsV2",
        (&Method::GET, true, false) => "ListObjects",
        (&Method::HEAD, true, false) => "HeadBucket",
        (&Method::PUT, true, false) => "CreateBucket",
        (&Method::DELETE, true, false) => "DeleteBucket",
        (&Method::POST, true, false) => "PostObject",
        (&Method::GET, false, _) => "ListBuckets",
        (method, ..) => return method.to_string(),
    };
    name.to_owned()
}

/// A response extension: the error code in the body, for the call log.
#[derive(Clone, Debug)]
pub struct S3ErrorName(pub String);

/// An error as S3 sends it: XML, and no body for a HEAD request.
#[must_use]
pub fn error_response(error: &AwsError, method: &Method) -> HttpResponse {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = if method == Method::HEAD {
        String::new()
    } else {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>",
            escape(&error.code),
            escape(&error.message)
        )
    };
    let mut response = server::empty(status);
    *response.body_mut() = Full::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response.extensions_mut().insert(S3ErrorName(error.code.clone()));
    with_request_id(response)
}

#[must_use]
pub fn with_request_id(mut response: HttpResponse) -> HttpResponse {
    if let Ok(id) = uuid::Uuid::new_v4().simple().to_string()[..16].to_uppercase().parse() {
        response.headers_mut().insert("x-amz-request-id", id);
    }
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
