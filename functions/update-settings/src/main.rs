//! `PATCH /v1/settings`: changes the settings of the tenant.

mod route;

use shared::gateway::Gateway;
use shared::http::{self, HandlerResult, Request, StatusCode};
use shared::model::settings::SettingsChange;
use shared::settings::{self, WindowSpec};
use shared::views::settings::SettingsView;
use shared::{auth, run};

use route::{OptOutConfirmationRequest, QuietHoursRequest, QuietWindowRequest, ROUTE, UpdateSettingsRequest};

fn main() -> run::ProcessResult {
    run::http(ROUTE.key, ROUTE.idempotency_key, handle)
}

/// 200 with the settings after the change.
async fn handle(gateway: &Gateway, request: Request) -> HandlerResult {
    let caller = auth::caller(gateway, &request, ROUTE.scopes).await?;
    let body: UpdateSettingsRequest = http::json(&request)?;
    let change = SettingsChange {
        quiet_hours: body.quiet_hours.try_map(|http::Object(hours)| {
            let QuietHoursRequest { start, end, overrides } = hours;
            let overrides = overrides.unwrap_or_default().into_iter();
            let overrides = overrides.map(|(region, http::Object(window))| (region, spec(window)));
            settings::quiet_hours(WindowSpec { start, end }, overrides.collect())
        })?,
        opt_out_confirmation: body.opt_out_confirmation.try_map(|http::Object(confirmation)| {
            let OptOutConfirmationRequest { enabled, text } = confirmation;
            settings::opt_out_confirmation(enabled, text)
        })?,
    };
    let settings = settings::change(gateway, caller.audit(), caller.tenant(), &change).await?;
    Ok(http::reply(StatusCode::OK, &SettingsView::from(&settings)))
}

fn spec(window: QuietWindowRequest) -> WindowSpec {
    WindowSpec { start: window.start, end: window.end }
}
