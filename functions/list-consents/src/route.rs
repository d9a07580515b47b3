//! The facts of this route.

use shared::http::route::{Parameter, Route, one_of, pattern};
use shared::model::app::Scope;
use shared::model::consent::ConsentStatus;
use shared::model::phone::E164;
use shared::views::consents::ConsentList;

pub const ROUTE: Route = Route::new("GET /v1/consents", "List consents")
    .description(
        "Returns what the gateway knows of the consents of recipients. With `Accept: text/csv` a \
         page is CSV, and the header `X-Next-Cursor` has the cursor of the next one.",
    )
    .key_with(&[Scope::ConsentsRead])
    .list()
    .query(&[
        Parameter::new("from", "Only consents to messages from this number of the tenant.", || {
            pattern(E164::PATTERN)
        }),
        Parameter::new("to", "Only consents of this recipient.", || pattern(E164::PATTERN)),
        Parameter::new("status", "Only consents with this status.", || {
            one_of(ConsentStatus::ALL.iter().map(|status| status.as_str()))
        }),
    ])
    .response::<ConsentList<'static>>(
        200,
        "The consents, by the recipient's number.",
        r#"{
          "consents": [{
            "coverage": "PhoneNumber", "from": "+14155550100", "source": "keyword", "status": "opted_out",
            "to": "+16505550111", "updatedAt": "2026-11-21T23:25:21.488Z"
          }],
          "nextCursor": null
        }"#,
    )
    .errors(&["invalid_query"]);
