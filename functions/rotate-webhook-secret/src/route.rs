//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::tenancy::RotatedSecret;

pub const ROUTE: Route = Route::new("POST /v1/apps/{appId}/rotate-webhook-secret", "Rotate a webhook secret")
    .description(
        "Events are signed with the new secret and, for 24 hours, with the replaced one too. At \
         most four replaced secrets are valid at a time; a further rotation is rejected with the time at which one ends.",
    )
    .key_with(&[Scope::AppsManage])
    .response::<RotatedSecret<'static>>(
        200,
        "The new secret, which is shown only once.",
        r#"{ "previousExpiresAt": "2026-11-22T23:25:21.488Z", "webhookSecret": "whsec_…" }"#,
    )
    .errors(&["invalid_id", "not_found", "webhook_secret_limit"]);
