//! The API's representations of connections and numbers.

pub mod app_check;
pub mod consents;
pub mod deliveries;
pub mod events;
pub mod media;
pub mod messages;
pub mod quarantine;
pub mod settings;
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

/// The action is done.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OkResponse {
    /// Always true.
    pub ok: bool,
}

/// The health of the service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// Always `ok`; otherwise the response is an error.
    #[schemars(extend("enum" = ["ok"]))]
    pub status: &'static str,
}

/// A new link.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConnectLink")]
pub struct NewLink {
    /// Path and query of the link, relative to the base URL of the API.
    pub connect_url: String,
}

/// Whether the tenant is connected to RingCentral.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSummary {
    /// True if at least one extension can be used.
    connected: bool,
    /// When the access token expires. It is refreshed before; absent if nothing is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    /// RingCentral's id of the account; absent if nothing is connected.
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
#[schemars(rename = "ExtensionList")]
pub struct Extensions<'a> {
    /// The extensions, the one that was connected first at the beginning.
    extensions: Vec<ExtensionView<'a>>,
}

/// A connected RingCentral extension.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Extension")]
struct ExtensionView<'a> {
    /// RingCentral's id of the extension.
    extension_id: &'a str,
    /// RingCentral's id of the account; `null` until it is known.
    rc_account_id: Option<&'a str>,
    /// When the extension was first connected. Authorizing again keeps it.
    #[serde(serialize_with = "as_iso")]
    connected_at: Timestamp,
    /// `active`: usable. `refresh_failed`: the access tokens can't be refreshed at the moment; this is retried automatically,
    /// and messages wait. `revoked`: RingCentral has ended the access; the user has to connect again.
    status: ConnectionStatus,
    /// Why the extension is not active.
    cause: Option<StatusCause>,
    /// When the extension got its current status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    status_since: Option<String>,
    /// When the tokens are refreshed next, while the status is `refresh_failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    next_attempt_at: Option<String>,
    /// The name of the extension's user; `null` until it is known.
    name: Option<&'a str>,
    /// The short number of the extension within its account.
    extension_number: Option<&'a str>,
    /// The extension's phone numbers that can send messages.
    numbers: Vec<&'a str>,
    /// Why a set-up step failed; `null` if none did.
    last_error: Option<&'a str>,
    /// The webhook subscription at RingCentral.
    subscription: Option<SubscriptionView<'a>>,
    /// The progress of the set-up after connecting.
    setup: SetupView,
}

/// A webhook subscription at RingCentral.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RingCentralSubscription")]
struct SubscriptionView<'a> {
    /// RingCentral's status of the subscription.
    status: &'a str,
    /// When the subscription expires. It is renewed before.
    #[serde(serialize_with = "as_iso")]
    expires_at: Timestamp,
}

/// The set-up of an extension.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ExtensionSetup")]
struct SetupView {
    /// True if all steps are done. Failed steps are retried automatically.
    complete: bool,
    /// Reading the account and the user's name.
    #[schemars(extend("enum" = ["pending", "done", "failed"]))]
    identity: &'static str,
    /// Reading the phone numbers.
    #[schemars(extend("enum" = ["pending", "done", "failed"]))]
    numbers: &'static str,
    /// Creating the webhook subscription.
    #[schemars(extend("enum" = ["pending", "done", "failed"]))]
    subscription: &'static str,
}

impl<'a> Extensions<'a> {
    pub fn of(inventory: &'a Inventory, now: Timestamp) -> Self {
        let view = |connection: &'a Connection| ExtensionView {
            extension_id: connection.extension.as_str(),
            rc_account_id: connection.identity.account.as_deref(),
            connected_at: connection.connected_at,
            status: connection.status,
            cause: connection.refresh_state.cause,
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
                status: subscription.status_at(now),
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
#[schemars(rename = "PhoneNumberList")]
pub struct Numbers<'a> {
    /// The numbers of connected extensions, then the other numbers of their accounts.
    numbers: Vec<NumberView<'a>>,
}

/// A phone number that can send messages.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PhoneNumber")]
struct NumberView<'a> {
    /// The number in E.164 form.
    phone_number: &'a str,
    /// RingCentral's id of the extension that has the number.
    extension_id: Option<&'a str>,
    /// The name of the extension's user.
    extension_name: Option<&'a str>,
    /// False for a number of the account whose extension is not connected. It can't send messages here.
    connected: bool,
    /// RingCentral's usage type, such as `DirectNumber`.
    usage_type: Option<&'a str>,
    /// The label that the number has at RingCentral.
    label: Option<&'a str>,
    /// What the number can send; `null` if its extension is not connected.
    features: Option<FeaturesView>,
    /// The registration for messages in the USA.
    ten_dlc: TenDlcView<'a>,
}

/// What a phone number can send.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PhoneNumberFeatures")]
struct FeaturesView {
    /// Text messages.
    sms: bool,
    /// Messages with media.
    mms: bool,
    /// High-volume messages (application to person).
    a2p: bool,
    /// Messages to other countries.
    international: bool,
}

/// The registration of a phone number for messages in the USA (10DLC).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TenDlcRegistration")]
struct TenDlcView<'a> {
    /// Whether the number may send messages in the USA. `ready`: registered with a campaign. `pending`: the registration is
    /// in progress; `status` is RingCentral's status. `unregistered`: not linked to a campaign. `unknown`: RingCentral does
    /// not report it, did not respond, or the extension has more than 20 numbers.
    #[schemars(extend("enum" = ["ready", "pending", "unregistered", "unknown"]))]
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
