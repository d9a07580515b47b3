//! The facts of this route.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use shared::http::route::{RequestBody, ResponseBody, Route};

pub const ROUTE: Route = Route::new("POST /v1/rc/connect", "Start authorization")
    .description(
        "Consumes the token and redirects the browser to RingCentral. Accepted only from a page \
         of this origin. Afterwards the link works in this browser only.",
    )
    .for_browsers()
    .form(FORM)
    .other_response(
        303,
        "Redirects to RingCentral's authorization page and sets the cookie of the flow.",
        ResponseBody::Redirect,
    )
    .errors(&[
        "missing_field",
        "link_unknown",
        "link_expired",
        "link_used",
        "link_exhausted",
        "cross_site",
        "tenant_suspended",
    ]);

/// The form of the confirmation page.
const FORM: RequestBody = RequestBody {
    media: "application/x-www-form-urlencoded",
    required: true,
    example: r#"{ "token": "NyGku2lEBD-pZKx7" }"#,
    schema: SchemaGenerator::subschema_for::<StartConnectionForm>,
    parse: |form| form["token"].as_str().map(drop).ok_or_else(|| "no token".to_owned()),
};

/// The schema of the form, which the handler reads field by field.
struct StartConnectionForm;

impl JsonSchema for StartConnectionForm {
    fn schema_name() -> Cow<'static, str> {
        "StartConnectionForm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "The form of the confirmation page.",
            "properties": { "token": { "type": "string", "description": "The token of the link." } },
            "required": ["token"],
        })
    }
}
