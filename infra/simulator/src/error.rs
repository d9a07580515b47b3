//! RingCentral's two error shapes: the REST envelope and the OAuth body.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// An error of a resource call: `{errorCode, message, errors:[{errorCode, message, …}], …}`.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code, for example `CMN-102`.
    pub code: &'static str,
    /// The category word of the top level; without one the code is repeated there.
    pub word: Option<&'static str>,
    /// What happened; clients must not look at it.
    pub message: String,
    /// Attributes such as `parameterName`, at both levels.
    pub extra: Map<String, Value>,
    /// A `WWW-Authenticate` header is due.
    pub challenge: bool,
}

impl ApiError {
    /// An error with a status, a code and a text.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, word: None, message: message.into(), extra: Map::new(), challenge: false }
    }

    /// Adds the category word of the top level.
    #[must_use]
    pub fn word(mut self, word: &'static str) -> Self {
        self.word = Some(word);
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// 400 CMN-101: a parameter is wrong.
    pub fn parameter(name: &str, value: impl Into<Value>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "CMN-101", format!("Parameter [{name}] value is invalid"))
            .word("InvalidParameter")
            .with("parameterName", name)
            .with("parameterValue", value)
    }

    /// 404 CMN-102: the thing that a parameter names does not exist.
    pub fn not_found(name: &str, value: impl Into<Value>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "CMN-102", format!("Resource for parameter [{name}] is not found"))
            .with("parameterName", name)
            .with("parameterValue", value)
    }

    /// 400 CMN-103: the body is not the JSON it should be.
    pub fn unparsable() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "CMN-103", "JSON can not be parsed").word("InvalidContent")
    }

    /// 401 with one of the OAU codes.
    pub fn token(code: &'static str, message: &str) -> Self {
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, code, message).word("TokenInvalid") }
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut inner = Map::new();
        inner.insert("errorCode".into(), self.code.into());
        inner.insert("message".into(), self.message.clone().into());
        let mut outer = Map::new();
        outer.insert("errorCode".into(), self.word.unwrap_or(self.code).into());
        outer.insert("message".into(), self.message.clone().into());
        for (name, value) in &self.extra {
            inner.insert(name.clone(), value.clone());
            outer.insert(name.clone(), value.clone());
        }
        outer.insert("errors".into(), json!([inner]));
        Value::Object(outer)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if self.challenge {
            let value = axum::http::HeaderValue::from_static("Bearer realm=\"RingCentral REST API\"");
            response.headers_mut().insert("www-authenticate", value);
        }
        response
    }
}

/// An error of the OAuth endpoints: `{error, error_description, errors:[{errorCode, message}]}`.
#[derive(Debug, Clone)]
pub struct OauthError {
    /// The HTTP status, 400 as live replies have it.
    pub status: StatusCode,
    /// The word of RFC 6749.
    pub error: &'static str,
    /// RingCentral's code, for example `OAU-210`.
    pub code: &'static str,
    /// What happened.
    pub description: String,
    /// The parameter that is wrong, if one is.
    pub parameter: Option<String>,
}

impl OauthError {
    /// A 400 with the word, the code and the text.
    pub fn new(error: &'static str, code: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            code,
            description: description.into(),
            parameter: None,
        }
    }

    /// 400 `invalid_request` with the parameter's name.
    pub fn parameter(name: &str) -> Self {
        Self {
            parameter: Some(name.to_owned()),
            ..Self::new("invalid_request", "CMN-101", format!("Parameter [{name}] value is invalid"))
        }
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut item = json!({"errorCode": self.code, "message": self.description});
        if let Some(name) = &self.parameter {
            item["parameterName"] = name.clone().into();
        }
        json!({"error": self.error, "error_description": self.description, "errors": [item]})
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        response.headers_mut().insert("cache-control", axum::http::HeaderValue::from_static("no-store"));
        response
    }
}
