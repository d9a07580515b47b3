//! RingCentral's two error shapes: the REST envelope and the OAuth body.

use http::StatusCode;
use serde_json::{Map, Value, json};

/// An error of a resource call: `{errorCode, message, errors:[{errorCode, message, …}], …}`.
#[derive(Debug, Clone)]
pub struct RestError {
    pub status: StatusCode,
    /// For example `CMN-102`.
    pub code: &'static str,
    /// The category word in `errorCode` of the top level; without one, the code is repeated there.
    pub category: Option<&'static str>,
    pub message: String,
    /// Attributes such as `parameterName`, written at both levels.
    pub attributes: Map<String, Value>,
    /// Adds a `WWW-Authenticate` header.
    pub challenge: bool,
}

impl RestError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            category: None,
            message: message.into(),
            attributes: Map::new(),
            challenge: false,
        }
    }

    #[must_use]
    pub fn category(mut self, word: &'static str) -> Self {
        self.category = Some(word);
        self
    }

    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// 400 CMN-101: a parameter has an invalid value.
    pub fn parameter(name: &str, value: impl Into<Value>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "CMN-101", format!("Parameter [{name}] value is invalid"))
            .category("InvalidParameter")
            .attribute("parameterName", name)
            .attribute("parameterValue", value)
    }

    /// 404 CMN-102: the resource that a parameter names does not exist.
    pub fn not_found(name: &str, value: impl Into<Value>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "CMN-102", format!("Resource for parameter [{name}] is not found"))
            .attribute("parameterName", name)
            .attribute("parameterValue", value)
    }

    /// 400 CMN-103: the body is not JSON of the expected shape.
    pub fn invalid_json() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "CMN-103", "JSON can not be parsed").category("InvalidContent")
    }

    /// 401 with one of the OAU codes.
    pub fn invalid_token(code: &'static str, message: &str) -> Self {
        let error = Self::new(StatusCode::UNAUTHORIZED, code, message).category("TokenInvalid");
        Self { challenge: true, ..error }
    }

    /// 413: the body exceeds the limit of the endpoint.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "CMN-104", "The request is too large")
    }

    /// 429 CMN-301: the caller exceeded a rate limit.
    #[must_use]
    pub fn rate_exceeded() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "CMN-301", "Request rate exceeded")
    }

    /// The JSON body.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut inner = Map::new();
        inner.insert("errorCode".into(), self.code.into());
        inner.insert("message".into(), self.message.clone().into());
        let mut outer = Map::new();
        outer.insert("errorCode".into(), self.category.unwrap_or(self.code).into());
        outer.insert("message".into(), self.message.clone().into());
        for (name, value) in &self.attributes {
            inner.insert(name.clone(), value.clone());
            outer.insert(name.clone(), value.clone());
        }
        outer.insert("errors".into(), json!([inner]));
        Value::Object(outer)
    }
}

/// An error of the OAuth endpoints: `{error, error_description, errors:[{errorCode, message}]}`.
#[derive(Debug, Clone)]
pub struct OauthError {
    pub status: StatusCode,
    /// The error of RFC 6749, for example `invalid_grant`.
    pub error: &'static str,
    /// RingCentral's code, for example `OAU-210`.
    pub code: &'static str,
    pub description: String,
    /// The name of the invalid parameter.
    pub parameter: Option<String>,
}

impl OauthError {
    /// Status 400, as in observed replies.
    pub fn new(error: &'static str, code: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            code,
            description: description.into(),
            parameter: None,
        }
    }

    /// 400 `invalid_request`: a parameter is missing or has an invalid value.
    pub fn parameter(name: &str) -> Self {
        Self::new("invalid_request", "CMN-101", format!("Parameter [{name}] value is invalid"))
            .about_parameter(name)
    }

    #[must_use]
    pub fn about_parameter(mut self, name: &str) -> Self {
        self.parameter = Some(name.to_owned());
        self
    }

    /// Replaces 400 by `status` for OAU codes: see the setting `oauthErrorStatus`.
    #[must_use]
    pub fn with_oauth_status(mut self, status: u16) -> Self {
        if self.code.starts_with("OAU-")
            && self.status == StatusCode::BAD_REQUEST
            && let Ok(status) = StatusCode::from_u16(status)
        {
            self.status = status;
        }
        self
    }

    /// The JSON body.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut item = json!({"errorCode": self.code, "message": self.description});
        if let Some(name) = &self.parameter {
            item["parameterName"] = name.clone().into();
        }
        json!({"error": self.error, "error_description": self.description, "errors": [item]})
    }
}
