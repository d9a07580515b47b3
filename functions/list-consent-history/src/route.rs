//! The facts of this route.

use shared::http::route::{Parameter, Route, pattern};
use shared::model::app::Scope;
use shared::model::phone::E164;
use shared::views::consents::ConsentHistory;

pub const ROUTE: Route = Route::new("GET /v1/consents/history", "List the history of consents")
    .description(
        "Returns everything that was recorded about the consents of a recipient. Entries are never \
         changed. With `Accept: text/csv` a page is CSV, and the header `X-Next-Cursor` has the \
         cursor of the next one.",
    )
    .key_with(&[Scope::ConsentsRead])
    .list()
    .query(&[Parameter::new("to", "The number of the recipient. Required.", || pattern(E164::PATTERN))])
    .response::<ConsentHistory<'static>>(
        200,
        "The entries, oldest first.",
        r#"{
          "entries": [{
            "coverage": "PhoneNumber", "from": "+14155550100", "happenedAt": "2026-11-21T23:25:20.000Z", "note": null,
            "recordedAt": "2026-11-21T23:25:21.488Z", "reported": "opted_out", "source": "keyword",
            "status": "opted_out", "to": "+16505550111"
          }],
          "nextCursor": null
        }"#,
    )
    .errors(&["invalid_query"]);
