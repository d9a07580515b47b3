//! The facts of this route.

use shared::http::route::Route;
use shared::model::app::Scope;
use shared::views::NewLink;

pub const ROUTE: Route = Route::new("POST /v1/rc/connect-token", "Create a connect token")
    .description("The link works once, in one browser, for five minutes.")
    .key_with(&[Scope::RcManage])
    .no_fields()
    .response::<NewLink>(
        200,
        "The link, relative to the base URL of the API.",
        r#"{ "connectUrl": "/v1/rc/connect?token=NyGku2lEBD-pZKx7" }"#,
    );
