//! An operation: one route, with what goes in and what comes out.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::model::app::Scope;

/// A route of the catalogue, described.
#[derive(Debug, Clone)]
pub struct Operation {
    /// `GET /v1/apps`, as the catalogue has it.
    pub route: &'static str,
    /// The function behind it.
    pub function: &'static str,
    /// What it is for, in a few words.
    pub summary: &'static str,
    /// What else is to be known.
    pub description: &'static str,
    /// A key needs one of these; any key will do if there is none.
    pub scopes: &'static [Scope],
    /// The operator's key opens it.
    pub operator: bool,
    /// Parameters of the query.
    pub query: Vec<Parameter>,
    /// Headers that mean something to it.
    pub headers: Vec<Parameter>,
    /// The body that it takes.
    pub request: Option<Request>,
    /// What it answers on success.
    pub answers: Vec<Answer>,
}

/// A parameter of the query, or a header.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// What it may be.
    pub schema: Value,
    /// It can't be left out.
    pub required: bool,
}

/// A body that goes in.
#[derive(Debug, Clone)]
pub struct Request {
    /// `application/json`, or a form.
    pub media: &'static str,
    /// It can't be left out.
    pub required: bool,
    /// One that is taken.
    pub example: Value,
    /// The schema of the type that the function reads.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads a body as the function does.
    pub parse: fn(Value) -> Result<(), String>,
}

/// A success.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What it tells.
    pub description: &'static str,
    /// Its body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub enum Body {
    /// JSON of a type that the function writes.
    Json {
        /// The type's schema.
        schema: fn(&mut SchemaGenerator) -> Schema,
        /// What it may look like.
        example: Value,
    },
    /// A page for people.
    Page,
    /// Nothing: the browser goes elsewhere.
    Elsewhere,
    /// Nothing at all.
    Empty,
}

impl Operation {
    /// A route without parameters, body or answers.
    pub fn new(route: &'static str, function: &'static str, summary: &'static str) -> Self {
        Self {
            route,
            function,
            summary,
            description: "",
            scopes: &[],
            operator: false,
            query: Vec::new(),
            headers: Vec::new(),
            request: None,
            answers: Vec::new(),
        }
    }

    /// What else is to be known.
    #[must_use]
    pub fn more(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// A key needs one of these scopes.
    #[must_use]
    pub fn scopes(mut self, scopes: &'static [Scope]) -> Self {
        self.scopes = scopes;
        self
    }

    /// The operator's key opens it.
    #[must_use]
    pub fn operator(mut self) -> Self {
        self.operator = true;
        self
    }

    /// A parameter of the query that may be left out.
    #[must_use]
    pub fn asks(mut self, name: &'static str, description: &'static str, schema: Value) -> Self {
        self.query.push(Parameter { name, description, schema, required: false });
        self
    }

    /// A header that means something to it.
    #[must_use]
    pub fn header(mut self, name: &'static str, description: &'static str, schema: Value) -> Self {
        self.headers.push(Parameter { name, description, schema, required: false });
        self
    }

    /// It answers with a part of a list.
    #[must_use]
    pub fn pages(self) -> Self {
        let (usual, most) = (shared::limits::PAGE, shared::limits::PAGE_MAX);
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": most, "default": usual });
        self.asks("limit", "The maximum number of entries.", limit).asks(
            "cursor",
            "`nextCursor` of the previous page. Valid for the same list and the same caller only.",
            json!({ "type": "string" }),
        )
    }

    /// True for a list that is read in parts.
    pub fn is_list(&self) -> bool {
        self.query.iter().any(|parameter| parameter.name == "cursor")
    }

    /// A body of JSON that can't be left out.
    #[must_use]
    pub fn takes<T: JsonSchema + DeserializeOwned>(mut self, example: Value) -> Self {
        let (schema, parse) = (T::json_schema, parse::<T>);
        self.request = Some(Request { media: "application/json", required: true, example, schema, parse });
        self
    }

    /// A body of JSON that may be left out.
    #[must_use]
    pub fn may_take<T: JsonSchema + DeserializeOwned>(self, example: Value) -> Self {
        let mut operation = self.takes::<T>(example);
        if let Some(request) = &mut operation.request {
            request.required = false;
        }
        operation
    }

    /// An answer of JSON.
    #[must_use]
    pub fn gives<T: JsonSchema + Serialize>(
        mut self,
        status: u16,
        description: &'static str,
        example: Value,
    ) -> Self {
        let body = Body::Json { schema: SchemaGenerator::subschema_for::<T>, example };
        self.answers.push(Answer { status, description, body });
        self
    }

    /// `{"ok":true}`.
    #[must_use]
    pub fn gives_ok(self, description: &'static str) -> Self {
        self.gives::<shared::views::OkResponse>(200, description, json!({ "ok": true }))
    }

    /// An answer without JSON.
    #[must_use]
    pub fn answers(mut self, status: u16, description: &'static str, body: Body) -> Self {
        self.answers.push(Answer { status, description, body });
        self
    }

    /// `GET`.
    pub fn method(&self) -> &'static str {
        self.route.split_once(' ').map_or("", |(method, _)| method)
    }

    /// `/v1/apps/{appId}`.
    pub fn path(&self) -> &'static str {
        self.route.split_once(' ').map_or("", |(_, path)| path)
    }

    /// The names of the ids in its path.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.path().split('{').skip(1).filter_map(|rest| rest.split('}').next())
    }

    /// A body that it takes, or nothing if it needs none.
    pub fn example(&self) -> Option<&Value> {
        self.request.as_ref().filter(|request| request.required).map(|request| &request.example)
    }
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<(), String> {
    serde_json::from_value::<T>(value).map(drop).map_err(|error| error.to_string())
}

/// Makes schemas of what goes in.
pub(crate) fn of_requests() -> SchemaGenerator {
    settings().for_deserialize().into_generator()
}

/// Makes schemas of what comes out.
pub(crate) fn of_answers() -> SchemaGenerator {
    settings().for_serialize().into_generator()
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}
