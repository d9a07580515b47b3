//! The settings of a tenant: validation and changes.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::limits;
use crate::model::area_code;
use crate::model::audit::{Action, AuditContext, AuditEntry};
use crate::model::patch::Patch;
use crate::model::quiet_hours::{QuietHours, QuietWindow, TimeOfDay};
use crate::model::settings::{OptOutConfirmation, SettingsChange, TenantSettings};
use crate::model::tenant::Tenant;
use crate::store::ChangeOutcome;

/// Changes settings, and returns all of them.
///
/// # Errors
/// [`Error::TenantSuspended`] if the tenant is being deleted.
pub async fn change(
    gateway: &Gateway,
    audit: &AuditContext,
    tenant: &Tenant,
    change: &SettingsChange,
) -> Result<TenantSettings> {
    let changed = [
        ("quietHours", change.quiet_hours != Patch::Keep),
        ("optOutConfirmation", change.opt_out_confirmation != Patch::Keep),
    ];
    let fields: Vec<&'static str> =
        changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect();
    if fields.is_empty() {
        return Ok(tenant.settings.clone());
    }
    let (action, subject) = (Action::SettingsChanged, tenant.id.as_str());
    let entry = AuditEntry { context: audit, action, tenant: &tenant.id, subject, fields: &fields };
    match gateway.store.change_settings(&tenant.id, change, &entry).await? {
        ChangeOutcome::Applied => Ok(gateway.store.settings(&tenant.id).await?),
        ChangeOutcome::NotFound | ChangeOutcome::Conflict => Err(Error::TenantSuspended),
    }
}

/// Quiet hours in a request.
#[derive(Debug, Default)]
pub struct WindowSpec {
    pub start: Option<String>,
    pub end: Option<String>,
}

/// Validates quiet hours. An absent time of the day has its default; in an override it is required.
pub fn quiet_hours(hours: WindowSpec, overrides: BTreeMap<String, WindowSpec>) -> Result<QuietHours> {
    let default = QuietWindow::default();
    let window = QuietWindow {
        start: time("quietHours.start", hours.start, Some(default.start))?,
        end: time("quietHours.end", hours.end, Some(default.end))?,
    };
    let mut hours = QuietHours { window: checked("quietHours", window)?, overrides: BTreeMap::new() };
    for (region, spec) in overrides {
        let field = format!("quietHours.overrides.{region}");
        if !area_code::is_region(&region) {
            let text = "quietHours.overrides must have postal codes of states, territories and provinces in capitals, such as FL or ON";
            return Err(Error::InvalidField { text: text.to_owned(), field: "quietHours.overrides" });
        }
        let window = QuietWindow {
            start: time(&format!("{field}.start"), spec.start, None)?,
            end: time(&format!("{field}.end"), spec.end, None)?,
        };
        hours.overrides.insert(region, checked(&field, window)?);
    }
    match hours.area_without_time() {
        None => Ok(hours),
        Some(area) => {
            let numbers = match area {
                area_code::ANYWHERE => "numbers that may be anywhere, such as toll-free ones".to_owned(),
                area => format!("numbers with the area code {area}"),
            };
            let text =
                format!("quietHours must leave an hour of the day in which {numbers} can get messages");
            Err(Error::InvalidField { text, field: "quietHours" })
        }
    }
}

fn time(field: &str, text: Option<String>, default: Option<TimeOfDay>) -> Result<TimeOfDay> {
    let invalid = || Error::InvalidItem {
        text: format!("{field} must be a time from 00:00 to 23:59, such as 21:00"),
        field: field.to_owned(),
    };
    match text {
        Some(text) => TimeOfDay::parse(&text).ok_or_else(invalid),
        None => default.ok_or_else(invalid),
    }
}

fn checked(field: &str, window: QuietWindow) -> Result<QuietWindow> {
    if window.start == window.end {
        return Err(Error::InvalidItem {
            text: format!("{field} must end at another time than it starts"),
            field: field.to_owned(),
        });
    }
    Ok(window)
}

/// Validates the confirmation of opt-outs; what is absent has its default.
pub fn opt_out_confirmation(enabled: Option<bool>, text: Option<String>) -> Result<OptOutConfirmation> {
    let default = OptOutConfirmation::default();
    let text = text.unwrap_or(default.text);
    let is_text = |char: char| !char.is_control() || matches!(char, '\n' | '\r' | '\t');
    if !(1..=limits::CONFIRMATION_UNITS).contains(&text.encode_utf16().count()) || !text.chars().all(is_text)
    {
        return Err(Error::InvalidField {
            text: format!(
                "optOutConfirmation.text must be 1-{} characters without control characters",
                limits::CONFIRMATION_UNITS
            ),
            field: "optOutConfirmation.text",
        });
    }
    Ok(OptOutConfirmation { enabled: enabled.unwrap_or(default.enabled), text })
}
