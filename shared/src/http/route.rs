//! The facts of a route: who can call it, what it reads, what it returns, and how the API reference describes it.
//!
//! A function states them once, in `route.rs` next to its handler. The handler takes its scopes from there; `infra/contract`
//! compiles the same file and derives the OpenAPI document, the API reference and the tables of errors and endpoints.
//! Everything is constant, and schemas are behind function pointers, so it costs a function no time.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::limits;
use crate::model::app::Scope;
use crate::views::OkResponse;

/// Who can call a route. It determines which errors every such route can return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Open,
    /// RingCentral. Responses have a status, but no body, and no headers beyond what RingCentral needs.
    RingCentral,
    /// A browser with a connect link, or on its way back from RingCentral.
    Browser,
    /// A tenant's key.
    Key,
    /// The operator key.
    Operator,
}

impl Access {
    /// The codes that any route of this kind can return.
    pub const fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Open => &["internal"],
            Self::RingCentral => &[],
            Self::Browser => &["unavailable", "internal"],
            Self::Key => &[
                "unauthorized",
                "tenant_suspended",
                "address_not_allowed",
                "insufficient_scope",
                "rate_limited",
                "unavailable",
                "internal",
            ],
            Self::Operator => {
                &["unauthorized", "insufficient_scope", "rate_limited", "unavailable", "internal"]
            }
        }
    }
}

/// What a route does with the header `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdempotencyKey {
    /// The route changes nothing, or no API client calls it.
    Ignored,
    /// Requests with the same key take effect once.
    Supported,
    /// 400 `idempotency_not_supported`: a client must not rely on a key that has no effect.
    Rejected,
}

impl IdempotencyKey {
    /// The codes that follow from it.
    pub const fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Ignored => &[],
            Self::Supported => &["invalid_field", "idempotency_in_progress", "idempotency_key_reused"],
            Self::Rejected => &["idempotency_not_supported"],
        }
    }
}

/// The codes of a route that parses a JSON body.
const BODY_CODES: [&str; 3] = ["invalid_body", "unknown_field", "body_too_large"];

/// The most responses of a route, errors not counted.
const RESPONSES: usize = 5;

#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Method and path, as in `template.yaml`: `GET /v1/apps`.
    pub key: &'static str,
    /// A command: `List apps`.
    pub title: &'static str,
    pub description: &'static str,
    pub access: Access,
    /// A key needs one of these; any key if there are none.
    pub scopes: &'static [Scope],
    /// Whether the operator key is accepted.
    pub operator: bool,
    /// The codes that this route can return in addition to those of its access and body.
    pub errors: &'static [&'static str],
    pub query: &'static [Parameter],
    pub headers: &'static [Parameter],
    pub idempotency_key: IdempotencyKey,
    /// The largest body.
    pub body_bytes: usize,
    /// Whether the response is a page of a list, with `limit` and `cursor` in the query.
    pub is_list: bool,
    reads_json: bool,
    pub head: Option<HeadRoute>,
    pub request: Option<RequestBody>,
    responses: [Option<RouteResponse>; RESPONSES],
}

/// A HEAD route that shares the function of a GET route.
#[derive(Debug, Clone, Copy)]
pub struct HeadRoute {
    pub key: &'static str,
    pub title: &'static str,
    /// The description of the response.
    pub response: &'static str,
}

/// An optional query parameter or header.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    pub description: &'static str,
    pub schema: fn() -> Value,
}

impl Parameter {
    pub const fn new(name: &'static str, description: &'static str, schema: fn() -> Value) -> Self {
        Self { name, description, schema }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct RequestBody {
    /// The content type.
    pub media: &'static str,
    pub required: bool,
    /// JSON.
    pub example: &'static str,
    /// The schema of the type that the handler parses.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Parses a body as the handler does.
    pub parse: fn(Value) -> Result<(), String>,
}

#[derive(Debug, Clone, Copy)]
pub struct RouteResponse {
    pub status: u16,
    pub description: &'static str,
    pub body: ResponseBody,
    /// A header that every such response has, beyond those of all responses.
    pub header: Option<ResponseHeader>,
}

#[derive(Debug, Clone, Copy)]
pub enum ResponseBody {
    Json {
        /// The schema of the type that the handler serializes.
        schema: fn(&mut SchemaGenerator) -> Schema,
        /// JSON.
        example: &'static str,
    },
    HtmlPage,
    Redirect,
    Empty,
}

/// A header of a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHeader {
    pub name: &'static str,
    pub description: &'static str,
}

impl Route {
    pub const fn new(key: &'static str, title: &'static str) -> Self {
        let only_reads = key.as_bytes()[0] == b'G';
        Self {
            key,
            title,
            description: "",
            access: Access::Open,
            scopes: &[],
            operator: false,
            errors: &[],
            query: &[],
            headers: &[],
            idempotency_key: if only_reads { IdempotencyKey::Ignored } else { IdempotencyKey::Rejected },
            body_bytes: limits::BODY_BYTES,
            is_list: false,
            reads_json: false,
            head: None,
            request: None,
            responses: [None; RESPONSES],
        }
    }

    /// Full sentences.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Needs a key with one of these scopes.
    #[must_use]
    pub const fn key_with(mut self, scopes: &'static [Scope]) -> Self {
        self.access = Access::Key;
        self.scopes = scopes;
        self
    }

    /// Needs a key, with any scopes.
    #[must_use]
    pub const fn any_key(self) -> Self {
        self.key_with(&[])
    }

    /// Needs the operator key.
    #[must_use]
    pub const fn operator_only(mut self) -> Self {
        self.access = Access::Operator;
        self.operator = true;
        self
    }

    /// Accepts the operator key as well.
    #[must_use]
    pub const fn or_operator(mut self) -> Self {
        self.operator = true;
        self
    }

    #[must_use]
    pub const fn for_browsers(mut self) -> Self {
        self.access = Access::Browser;
        self.idempotency_key = IdempotencyKey::Ignored;
        self
    }

    #[must_use]
    pub const fn for_ringcentral(mut self) -> Self {
        self.access = Access::RingCentral;
        self.idempotency_key = IdempotencyKey::Ignored;
        self
    }

    #[must_use]
    pub const fn errors(mut self, codes: &'static [&'static str]) -> Self {
        self.errors = codes;
        self
    }

    #[must_use]
    pub const fn query(mut self, parameters: &'static [Parameter]) -> Self {
        self.query = parameters;
        self
    }

    #[must_use]
    pub const fn headers(mut self, headers: &'static [Parameter]) -> Self {
        self.headers = headers;
        self
    }

    /// Requests with the same `Idempotency-Key` take effect once.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotency_key = IdempotencyKey::Supported;
        self
    }

    /// Accepts larger bodies than other routes.
    #[must_use]
    pub const fn body_up_to(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Returns a page of a list.
    #[must_use]
    pub const fn list(mut self) -> Self {
        self.is_list = true;
        self
    }

    /// Serves HEAD as well.
    #[must_use]
    pub const fn head(mut self, head: HeadRoute) -> Self {
        self.head = Some(head);
        self
    }

    /// Accepts an empty JSON object as its body, and rejects others.
    #[must_use]
    pub const fn no_fields(mut self) -> Self {
        self.reads_json = true;
        self
    }

    /// Needs a JSON body.
    #[must_use]
    pub const fn request<T: JsonSchema + DeserializeOwned>(mut self, example: &'static str) -> Self {
        self.reads_json = true;
        self.request = Some(RequestBody {
            media: "application/json",
            required: true,
            example,
            schema: SchemaGenerator::subschema_for::<T>,
            parse: parse::<T>,
        });
        self
    }

    /// Accepts a JSON body, or none.
    #[must_use]
    pub const fn optional_request<T: JsonSchema + DeserializeOwned>(self, example: &'static str) -> Self {
        let mut route = self.request::<T>(example);
        if let Some(body) = &mut route.request {
            body.required = false;
        }
        route
    }

    /// Needs a form.
    #[must_use]
    pub const fn form(mut self, body: RequestBody) -> Self {
        self.request = Some(body);
        self
    }

    #[must_use]
    pub const fn response<T: JsonSchema + Serialize>(
        self,
        status: u16,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        let body = ResponseBody::Json { schema: SchemaGenerator::subschema_for::<T>, example };
        self.other_response(status, description, body)
    }

    /// `{"ok":true}`.
    #[must_use]
    pub const fn ok_response(self, description: &'static str) -> Self {
        self.response::<OkResponse>(200, description, r#"{ "ok": true }"#)
    }

    #[must_use]
    pub const fn other_response(
        mut self,
        status: u16,
        description: &'static str,
        body: ResponseBody,
    ) -> Self {
        let mut next = 0;
        while self.responses[next].is_some() {
            next += 1;
        }
        self.responses[next] = Some(RouteResponse { status, description, body, header: None });
        self
    }

    /// Declares a header of the response that was added last.
    #[must_use]
    pub const fn response_header(mut self, name: &'static str, description: &'static str) -> Self {
        let mut last = RESPONSES - 1;
        while self.responses[last].is_none() {
            last -= 1;
        }
        if let Some(response) = &mut self.responses[last] {
            response.header = Some(ResponseHeader { name, description });
        }
        self
    }

    /// The HEAD route as a separate route.
    pub fn head_route(&self) -> Option<Self> {
        let HeadRoute { key, title, response } = self.head?;
        let route = Self {
            key,
            title,
            description: "Like GET, without the body.",
            head: None,
            responses: [None; RESPONSES],
            ..*self
        };
        Some(route.other_response(200, response, ResponseBody::Empty))
    }

    pub fn method(&self) -> &'static str {
        self.key.split_once(' ').map_or("", |(method, _)| method)
    }

    pub fn path(&self) -> &'static str {
        self.key.split_once(' ').map_or("", |(_, path)| path)
    }

    /// The names of the path parameters.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path().split('{').skip(1).filter_map(|rest| rest.split('}').next())
    }

    /// The query parameters, those of a list included.
    pub fn query_parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        let list: &[Parameter] = if self.is_list { &LIST_PARAMETERS } else { &[] };
        list.iter().chain(self.query)
    }

    /// The codes of all errors that the route can return.
    pub fn codes(&self) -> Vec<&'static str> {
        let body: &[&str] = if self.reads_json { &BODY_CODES } else { &[] };
        let mut codes = Vec::new();
        for code in [self.access.codes(), body, self.idempotency_key.codes(), self.errors].concat() {
            let is_open =
                code == "insufficient_scope" && self.access == Access::Key && self.scopes.is_empty();
            if !is_open && !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }

    pub fn responses(&self) -> impl Iterator<Item = &RouteResponse> {
        self.responses.iter().flatten()
    }

    /// An example of the body, if the route needs one.
    pub fn required_example(&self) -> Option<Value> {
        self.request.filter(|request| request.required).map(|request| request.example())
    }
}

impl RequestBody {
    pub fn example(&self) -> Value {
        serde_json::from_str(self.example).expect("an example is JSON")
    }
}

/// The query parameters of all lists.
pub const LIST_PARAMETERS: [Parameter; 2] = [
    Parameter::new(
        "limit",
        "The maximum number of entries in the response.",
        || json!({ "type": "integer", "minimum": 1, "maximum": limits::PAGE_MAX, "default": limits::PAGE_DEFAULT }),
    ),
    Parameter::new(
        "cursor",
        "`nextCursor` of the previous page. It is valid for the same list and the same caller only.",
        some_text,
    ),
];

/// The schema of any text.
pub fn text() -> Value {
    json!({ "type": "string" })
}

pub fn date_time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// The schema of a day, or of a time with its offset.
pub fn day_or_time() -> Value {
    pattern(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$")
}

/// The schema of a text that is not empty.
pub fn some_text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

pub fn positive_integer() -> Value {
    json!({ "type": "integer", "minimum": 1 })
}

/// The schema of a text that matches a regular expression.
pub fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// The schema of a header with printable ASCII characters.
pub fn printable(max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max, "pattern": "^[!-~]([ -~]*[!-~])?$" })
}

pub fn one_of(values: impl IntoIterator<Item = &'static str>) -> Value {
    json!({ "type": "string", "enum": values.into_iter().collect::<Vec<_>>() })
}

/// The schema of an optional field with one of these values.
pub fn one_of_or_null(values: &[&str]) -> Schema {
    schemars::json_schema!({ "anyOf": [{ "type": "string", "enum": values }, { "type": "null" }] })
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<(), String> {
    serde_json::from_value::<T>(value).map(drop).map_err(|error| error.to_string())
}
