//! The API's representations of connections and numbers.

pub mod deliveries;
pub mod messages;
pub mod tenancy;

use std::collections::HashMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::model::connection::{Connection, ConnectionStatus, Setup, StatusCause};
use crate::model::ids::ExtensionId;
use crate::model::number::{AccountNumber, Features, Number, Readiness};
use crate::store::Inventory;

/// ISO 8601 in UTC, with milliseconds and `Z`.
pub fn iso(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn as_iso<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&iso(*time))
}

/// `{"ok":true}`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Done")]
pub struct OkResponse {
    /// Always true.
    pub ok: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusOnly {
    pub status: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewLink {
    /// Path and query of the link, relative to the base URL of the API.
    pub connect_url: String,
}

/// `GET /v1/rc/status`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Status")]
pub struct ConnectionSummary {
    connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    rc_account_id: Option<Nullable>,
}

impl ConnectionSummary {
    /// Connected while at least one extension is usable. The details are those of the earliest connected one.
    pub fn of(connections: &[Connection]) -> Self {
        let usable = connections.iter().find(|connection| connection.status.is_connected());
        Self {
            connected: usable.is_some(),
            expires_at: usable.map(|connection| iso(connection.access.expires_at)),
            rc_account_id: usable.map(|connection| Nullable(connection.identity.account.clone())),
        }
    }
}

/// A value that is present, and may be `null`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Nullable(Option<String>);

/// `GET /v1/rc/extensions`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Extensions<'a> {
    extensions: Vec<ExtensionView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Extension")]
struct ExtensionView<'a> {
    extension_id: &'a str,
    rc_account_id: Option<&'a str>,
    #[serde(serialize_with = "as_iso")]
    connected_at: Timestamp,
    /// `active`: usable. `refresh_failed`: the access tokens can't be refreshed at the moment; this is retried automatically,
    /// and messages wait. `revoked`: RingCentral has ended the access; the user has to connect again.
    status: &'static str,
    /// Why the extension is not active: `ringcentral_unavailable`, `revoked_by_user`, `expired` or `lost_rotation`.
    cause: Option<&'static str>,
    /// When the extension got its current status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    status_since: Option<String>,
    /// When the tokens are refreshed next, while the status is `refresh_failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    next_attempt_at: Option<String>,
    name: Option<&'a str>,
    extension_number: Option<&'a str>,
    numbers: Vec<&'a str>,
    /// Why a set-up step failed.
    last_error: Option<&'a str>,
    /// The webhook subscription at RingCentral.
    subscription: Option<SubscriptionView<'a>>,
    setup: SetupView<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Subscription")]
struct SubscriptionView<'a> {
    status: &'a str,
    #[serde(serialize_with = "as_iso")]
    expires_at: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Setup")]
struct SetupView<'a> {
    /// True if all steps are done. Failed steps are retried automatically.
    complete: bool,
    /// Reading the account and the user's name: `pending`, `done` or `failed`.
    identity: &'a str,
    /// Reading the phone numbers: `pending`, `done` or `failed`.
    numbers: &'a str,
    /// Creating the webhook subscription: `pending`, `done` or `failed`.
    subscription: &'a str,
}

impl<'a> Extensions<'a> {
    pub fn of(inventory: &'a Inventory) -> Self {
        let view = |connection: &'a Connection| ExtensionView {
            extension_id: connection.extension.as_str(),
            rc_account_id: connection.identity.account.as_deref(),
            connected_at: connection.connected_at,
            status: connection.status.as_str(),
            cause: connection.refresh_state.cause.map(StatusCause::as_str),
            status_since: connection.refresh_state.status_since.map(iso),
            next_attempt_at: connection
                .refresh_state
                .due
                .filter(|_| connection.status == ConnectionStatus::RefreshFailed)
                .map(iso),
            name: connection.identity.name.as_deref(),
            extension_number: connection.identity.extension_number.as_deref(),
            numbers: numbers_of(inventory, &connection.extension)
                .map(|number| number.number.as_str())
                .collect(),
            last_error: last_error(&connection.setup),
            subscription: connection.subscription.as_ref().map(|subscription| SubscriptionView {
                status: &subscription.status,
                expires_at: subscription.expires_at,
            }),
            setup: SetupView {
                complete: connection.setup.is_done(),
                identity: connection.setup.identity.as_str(),
                numbers: connection.setup.numbers.as_str(),
                subscription: connection.setup.subscription.as_str(),
            },
        };
        Self { extensions: inventory.connections.iter().map(view).collect() }
    }
}

fn numbers_of<'a>(inventory: &'a Inventory, extension: &'a ExtensionId) -> impl Iterator<Item = &'a Number> {
    inventory.numbers.iter().filter(move |number| number.extension == *extension)
}

fn last_error(setup: &Setup) -> Option<&str> {
    [&setup.identity, &setup.numbers, &setup.subscription].into_iter().find_map(|step| step.error())
}

/// `GET /v1/rc/numbers`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Numbers<'a> {
    numbers: Vec<NumberView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Number")]
struct NumberView<'a> {
    phone_number: &'a str,
    extension_id: Option<&'a str>,
    extension_name: Option<&'a str>,
    /// False for a number of the account whose extension is not connected. It can't send messages here.
    connected: bool,
    usage_type: Option<&'a str>,
    label: Option<&'a str>,
    features: Option<FeaturesView>,
    ten_dlc: TenDlcView<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Features")]
struct FeaturesView {
    sms: bool,
    mms: bool,
    /// High-volume messages (application to person).
    a2p: bool,
    international: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TenDlc")]
struct TenDlcView<'a> {
    /// Whether the number may send messages in the USA. `ready`: registered with a campaign. `pending`: the registration is
    /// in progress; `status` is RingCentral's status. `unregistered`: not linked to a campaign. `unknown`: RingCentral does
    /// not report it, did not respond, or the extension has more than 20 numbers.
    readiness: &'a str,
    /// RingCentral's status, while `readiness` is `pending`.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
}

impl<'a> Numbers<'a> {
    /// The numbers of connected extensions, then the other numbers of their accounts.
    pub fn of(inventory: &'a Inventory) -> Self {
        let connected: HashMap<&ExtensionId, &Connection> =
            inventory.connections.iter().map(|connection| (&connection.extension, connection)).collect();
        let connected_numbers = inventory.numbers.iter().filter_map(|number| {
            let connection = connected.get(&number.extension)?;
            Some(connected_number(number, connection))
        });
        let accounts: Vec<_> =
            inventory.connections.iter().filter_map(|c| c.identity.account.as_deref()).collect();
        let others = inventory.account_numbers.iter().filter(|number| {
            let is_connected =
                number.extension.as_ref().is_some_and(|extension| connected.contains_key(extension));
            let is_listed = inventory.numbers.iter().any(|own| own.number == number.number);
            accounts.contains(&number.account.as_str()) && !is_connected && !is_listed
        });
        Self { numbers: connected_numbers.chain(others.map(account_number)).collect() }
    }
}

fn connected_number<'a>(number: &'a Number, connection: &'a Connection) -> NumberView<'a> {
    let Features { sms, mms, a2p, international } = Features::of(&number.features);
    let status = match &number.readiness {
        Readiness::Pending(status) => Some(status.as_str()),
        Readiness::Ready | Readiness::Unregistered | Readiness::Unknown => None,
    };
    NumberView {
        phone_number: number.number.as_str(),
        extension_id: Some(number.extension.as_str()),
        extension_name: connection.identity.name.as_deref(),
        connected: true,
        usage_type: number.usage.as_deref(),
        label: number.label.as_deref(),
        features: Some(FeaturesView { sms, mms, a2p, international }),
        ten_dlc: TenDlcView { readiness: number.readiness.as_str(), status },
    }
}

fn account_number(number: &AccountNumber) -> NumberView<'_> {
    NumberView {
        phone_number: number.number.as_str(),
        extension_id: number.extension.as_ref().map(ExtensionId::as_str),
        extension_name: number.extension_name.as_deref(),
        connected: false,
        usage_type: number.usage.as_deref(),
        label: None,
        features: None,
        ten_dlc: TenDlcView { readiness: Readiness::Unknown.as_str(), status: None },
    }
}
