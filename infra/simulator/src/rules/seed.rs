//! The apps, accounts, users and numbers of a new state, and how accounts are added.
//!
//! Every secret contains `CANARY`, so that test suites can search logs and tables for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::platform::accounts::{AccountRecord, AppRecord, ExtensionRecord, NumberRecord};
use crate::platform::consents::ConsentLog;
use crate::platform::ledger::Ledger;
use crate::platform::messages::MessageStore;
use crate::platform::rate_limits::RateWindows;
use crate::platform::sessions::LoginStore;
use crate::platform::settings::PlatformSettings;
use crate::platform::state::{NextIds, PlatformState};

/// A confidential app.
const CLIENT_ID: &str = "SimGatewayApp0001";
const CLIENT_SECRET: &str = "sim-secret-CANARY-4f1c9a";
/// A public (PKCE) app with the same redirect URIs.
const PUBLIC_CLIENT_ID: &str = "SimPublicApp0001";

/// The apps and users: the `rc` object of `stack.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulatorSeed {
    pub client_id: String,
    pub client_secret: String,
    pub public_client_id: String,
    /// Redirect URIs of both apps.
    pub redirect_uris: Vec<String>,
    /// All users that can sign in.
    pub users: Vec<SeedUser>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedUser {
    pub username: String,
    /// The short number.
    pub extension: String,
    pub password: String,
    pub extension_id: String,
    pub account_id: String,
    /// The numbers that the user can send SMS from.
    pub numbers: Vec<String>,
    /// A credential for the JWT bearer grant.
    pub jwt: String,
}

#[must_use]
pub fn seed_of(state: &PlatformState) -> SimulatorSeed {
    let users = state.extensions.values().filter(|e| e.can_sign_in());
    SimulatorSeed {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        public_client_id: PUBLIC_CLIENT_ID.to_owned(),
        redirect_uris: state.app(CLIENT_ID).map(|app| app.redirect_uris.clone()).unwrap_or_default(),
        users: users.map(|e| seed_user(state, e)).collect(),
    }
}

#[must_use]
pub fn seed_user(state: &PlatformState, extension: &ExtensionRecord) -> SeedUser {
    SeedUser {
        username: extension.username.clone(),
        extension: extension.number.clone(),
        password: extension.password.clone(),
        extension_id: extension.id.to_string(),
        account_id: extension.account_id.to_string(),
        numbers: state.sms_numbers_of(extension).map(|n| n.phone_number.clone()).collect(),
        jwt: extension.jwt.clone(),
    }
}

/// The state of a new simulator.
#[must_use]
pub fn seeded_state(redirect_uris: &[String]) -> PlatformState {
    let mut state = PlatformState {
        clock_offset: 0,
        settings: PlatformSettings::default(),
        faults: Vec::new(),
        ledger: Ledger::default(),
        rate_windows: RateWindows::default(),
        apps: seed_apps(redirect_uris),
        accounts: BTreeMap::new(),
        extensions: BTreeMap::new(),
        numbers: BTreeMap::new(),
        logins: LoginStore::default(),
        subscriptions: Vec::new(),
        mail: MessageStore::default(),
        consents: ConsentLog::default(),
        epoch: uuid::Uuid::new_v4().simple().to_string(),
        next_ids: NextIds { account: 500_100, extension: 700_100_201, number: 33_010, phone: 0 },
        queued_events: Vec::new(),
    };
    for account in seed_accounts() {
        let added = add_account(&mut state, account);
        debug_assert!(added.is_ok(), "invalid seed: {added:?}");
    }
    state
}

fn seed_apps(redirect_uris: &[String]) -> Vec<AppRecord> {
    vec![
        AppRecord {
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(CLIENT_SECRET.to_owned()),
            name: "SMS Gateway".to_owned(),
            redirect_uris: redirect_uris.to_vec(),
        },
        AppRecord {
            client_id: PUBLIC_CLIENT_ID.to_owned(),
            client_secret: None,
            name: "SMS Gateway (public client)".to_owned(),
            redirect_uris: redirect_uris.to_vec(),
        },
    ]
}

/// The body of `POST /_sim/accounts`. Every field has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AccountSpec {
    name: Option<String>,
    /// For example `2210`.
    brand_id: Option<String>,
    main_number: Option<String>,
    /// Empty: one user with one number.
    users: Vec<UserSpec>,
    /// Numbers that are assigned to no user.
    numbers: Vec<NumberSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct UserSpec {
    /// The short number.
    extension: Option<String>,
    /// The full name.
    name: Option<String>,
    email: Option<String>,
    /// Default: the first number, or the e-mail address.
    username: Option<String>,
    password: Option<String>,
    /// Default: the first user is an administrator.
    admin: Option<bool>,
    /// Default: all permissions of an administrator or a user.
    permissions: Option<Vec<String>>,
    /// `User` or `Department`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// `Enabled`, `Disabled`, …
    status: Option<String>,
    /// Default: one direct number with all features.
    numbers: Option<Vec<NumberSpec>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NumberSpec {
    /// E.164. Default: a generated number.
    phone_number: Option<String>,
    /// `DirectNumber`, `CompanyNumber`, …
    usage_type: Option<String>,
    /// `Local`, `TollFree`, …
    payment_type: Option<String>,
    /// `VoiceFax`, `VoiceOnly`, `FaxOnly`.
    #[serde(rename = "type")]
    kind: Option<String>,
    label: Option<String>,
    /// The features that the user has on the number.
    features: Option<Vec<String>>,
    /// Status of the 10DLC campaign; `none`: not linked to one.
    campaign: Option<String>,
}

const USER_PERMISSIONS: [&str; 7] = [
    "ReadCompanyInfo",
    "ReadExtensions",
    "ReadUserPhoneNumbers",
    "OutboundSMS",
    "ReadMessages",
    "EditMessages",
    "ReadPresenceStatus",
];

/// Adds an account. Returns its id and the ids of its users. An error names the wrong field; part of the account may exist
/// then.
pub fn add_account(state: &mut PlatformState, new: AccountSpec) -> Result<(i64, Vec<i64>), String> {
    let id = state.next_ids.account;
    state.next_ids.account += 100;
    let main_number = match &new.main_number {
        Some(number) => checked_number(state, number)?,
        None => generated_number(state),
    };
    state.accounts.insert(
        id,
        AccountRecord {
            id,
            name: new.name.unwrap_or_else(|| format!("Company {id}")),
            status: "Confirmed".to_owned(),
            brand_id: new.brand_id.unwrap_or_else(|| "1210".to_owned()),
            main_number: main_number.clone(),
        },
    );
    let users = if new.users.is_empty() { vec![UserSpec::default()] } else { new.users };
    let mut ids = Vec::new();
    for (index, user) in users.into_iter().enumerate() {
        ids.push(add_user(state, id, index, user)?);
    }
    // The main number needs a record, unless a user of the request has it.
    let main = NumberSpec {
        phone_number: Some(main_number.clone()),
        usage_type: Some("MainCompanyNumber".to_owned()),
        label: Some("Main".to_owned()),
        features: Some(vec!["CallerId".to_owned()]),
        ..NumberSpec::default()
    };
    if state.number(&main_number).is_none() {
        add_number(state, id, None, main)?;
    }
    for number in new.numbers {
        add_number(state, id, None, number)?;
    }
    Ok((id, ids))
}

fn add_user(state: &mut PlatformState, account_id: i64, index: usize, new: UserSpec) -> Result<i64, String> {
    let id = state.next_ids.extension;
    state.next_ids.extension += 1;
    let number = new.extension.unwrap_or_else(|| (101 + index).to_string());
    if state.extensions.values().any(|e| e.account_id == account_id && e.number == number) {
        return Err(format!("users[{index}].extension: `{number}` exists in this account"));
    }
    let name = new.name.unwrap_or_else(|| format!("User {number}"));
    let (first_name, last_name) = name.split_once(' ').unwrap_or((&name, ""));
    let admin = new.admin.unwrap_or(index == 0);
    let kind = new.kind.unwrap_or_else(|| "User".to_owned());
    let email = new.email.unwrap_or_else(|| format!("user{number}.{account_id}@example.com"));
    let mut permissions: Vec<String> = USER_PERMISSIONS.map(str::to_owned).to_vec();
    if admin {
        permissions.push("ReadCompanyPhoneNumbers".to_owned());
    }
    state.extensions.insert(
        id,
        ExtensionRecord {
            id,
            account_id,
            number: number.clone(),
            first_name: first_name.to_owned(),
            last_name: last_name.to_owned(),
            email: email.clone(),
            kind,
            status: new.status.unwrap_or_else(|| "Enabled".to_owned()),
            admin,
            permissions: new.permissions.unwrap_or(permissions),
            username: String::new(),
            password: new.password.unwrap_or_else(|| format!("pw-CANARY-{number}")),
            jwt: jwt(id),
        },
    );
    let mut first = None;
    for number in new.numbers.unwrap_or_else(|| vec![NumberSpec::default()]) {
        let phone_number = add_number(state, account_id, Some(id), number)?;
        first.get_or_insert(phone_number);
    }
    if let Some(extension) = state.extensions.get_mut(&id) {
        extension.username = new.username.or(first).unwrap_or(email);
    }
    Ok(id)
}

/// Adds a number and returns it in E.164.
fn add_number(
    state: &mut PlatformState,
    account_id: i64,
    owner: Option<i64>,
    new: NumberSpec,
) -> Result<String, String> {
    let phone_number = match &new.phone_number {
        Some(number) => checked_number(state, number)?,
        None => generated_number(state),
    };
    let id = state.next_ids.number;
    state.next_ids.number += 1;
    let toll_free = new.payment_type.as_deref() == Some("TollFree");
    let features = new.features.unwrap_or_else(|| {
        let all: &[&str] = match (owner, toll_free) {
            (None, _) => &["CallerId"],
            (Some(_), true) => &["SmsSender", "CallerId"],
            (Some(_), false) => &["SmsSender", "MmsSender", "InternationalSmsSender", "CallerId"],
        };
        all.iter().map(|f| (*f).to_owned()).collect()
    });
    for feature in &features {
        let known =
            ["CallerId", "SmsSender", "A2PSmsSender", "MmsSender", "InternationalSmsSender", "Delegated"];
        if !known.contains(&feature.as_str()) {
            return Err(format!("features: `{feature}` is not a feature"));
        }
    }
    let usage_type = new
        .usage_type
        .unwrap_or_else(|| if owner.is_some() { "DirectNumber" } else { "CompanyNumber" }.to_owned());
    let direct = usage_type == "DirectNumber";
    let campaign = match new.campaign.as_deref() {
        Some("none") => None,
        Some(status) => Some(status.to_owned()),
        None => (features.iter().any(|f| f == "SmsSender") && !toll_free).then(|| "Confirmed".to_owned()),
    };
    state.numbers.insert(
        id,
        NumberRecord {
            id,
            account_id,
            phone_number: phone_number.clone(),
            usage_type,
            payment_type: new.payment_type.unwrap_or_else(|| "Local".to_owned()),
            kind: new.kind.unwrap_or_else(|| "VoiceFax".to_owned()),
            location: if toll_free { "Toll-free" } else { "San Francisco, CA" }.to_owned(),
            label: new.label.unwrap_or_default(),
            extension_id: owner.filter(|_| direct),
            sms_extension_id: owner.filter(|_| features.iter().any(|f| f == "SmsSender")),
            features,
            campaign,
        },
    );
    Ok(phone_number)
}

fn checked_number(state: &PlatformState, number: &str) -> Result<String, String> {
    let digits = number.strip_prefix('+').unwrap_or_default();
    if digits.len() < 8 || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("phoneNumber: `{number}` is not an E.164 number"));
    }
    if state.number(number).is_some() {
        return Err(format!("phoneNumber: `{number}` exists"));
    }
    Ok(number.to_owned())
}

/// A free number in the range 555-0100 to 555-0199, which is reserved for fiction.
fn generated_number(state: &mut PlatformState) -> String {
    loop {
        let n = state.next_ids.phone;
        state.next_ids.phone += 1;
        let area = ["212", "312", "213", "617", "206", "303", "702", "503"];
        let area_code = usize::try_from(n / 100)
            .ok()
            .and_then(|index| area.get(index).map(|a| (*a).to_owned()))
            .unwrap_or_else(|| (300 + n / 100).to_string());
        let number = format!("+1{area_code}55501{:02}", n % 100);
        if state.number(&number).is_none() {
            return number;
        }
    }
}

/// A credential of the form of a JWT. It is compared as a whole; its signature is not valid.
fn jwt(extension_id: i64) -> String {
    let part = |value: serde_json::Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = part(json!({"alg": "RS256", "typ": "JWT", "kid": "sim"}));
    let payload = part(
        json!({"sub": extension_id.to_string(), "iss": "simulator", "jti": format!("jwt-{extension_id}")}),
    );
    format!("{header}.{payload}.CANARY-signature-{extension_id}")
}

fn seed_accounts() -> [AccountSpec; 2] {
    let sms = |number: &str, label: &str| NumberSpec {
        phone_number: Some(number.to_owned()),
        label: Some(label.to_owned()),
        ..NumberSpec::default()
    };
    let caller_id = || Some(vec!["CallerId".to_owned()]);
    let first = AccountSpec {
        name: Some("Example Supplies".to_owned()),
        brand_id: None,
        main_number: Some("+14155550100".to_owned()),
        users: vec![
            UserSpec {
                name: Some("Dana Sim".to_owned()),
                email: Some("dana@example.com".to_owned()),
                numbers: Some(vec![
                    NumberSpec {
                        usage_type: Some("MainCompanyNumber".to_owned()),
                        ..sms("+14155550100", "Main")
                    },
                    sms("+14155550101", "Desk"),
                ]),
                ..UserSpec::default()
            },
            UserSpec {
                name: Some("Robin Vale".to_owned()),
                email: Some("robin@example.com".to_owned()),
                numbers: Some(vec![
                    sms("+14155550102", "Desk"),
                    NumberSpec {
                        features: caller_id(),
                        campaign: Some("none".to_owned()),
                        ..sms("+14155550105", "Not registered for 10DLC")
                    },
                ]),
                ..UserSpec::default()
            },
            UserSpec {
                name: Some("Kim Quiet".to_owned()),
                email: Some("kim@example.com".to_owned()),
                permissions: Some(
                    USER_PERMISSIONS
                        .iter()
                        .filter(|p| **p != "OutboundSMS")
                        .map(|p| (*p).to_owned())
                        .collect(),
                ),
                numbers: Some(vec![NumberSpec {
                    features: caller_id(),
                    kind: Some("VoiceOnly".to_owned()),
                    ..sms("+14155550103", "Voice only")
                }]),
                ..UserSpec::default()
            },
            UserSpec {
                extension: Some("201".to_owned()),
                name: Some("Support Queue".to_owned()),
                email: Some("support@example.com".to_owned()),
                kind: Some("Department".to_owned()),
                numbers: Some(vec![NumberSpec {
                    usage_type: Some("CompanyNumber".to_owned()),
                    ..sms("+14155550106", "Support queue")
                }]),
                ..UserSpec::default()
            },
        ],
        numbers: vec![NumberSpec {
            payment_type: Some("TollFree".to_owned()),
            features: caller_id(),
            ..sms("+18005550107", "Toll-free, not verified")
        }],
    };
    let second = AccountSpec {
        name: Some("Sample Clinic".to_owned()),
        brand_id: None,
        main_number: Some("+16505550120".to_owned()),
        users: vec![
            UserSpec {
                name: Some("Alex Reed".to_owned()),
                email: Some("alex@example.com".to_owned()),
                numbers: Some(vec![
                    sms("+16505550121", "Front desk"),
                    NumberSpec {
                        usage_type: Some("CompanyNumber".to_owned()),
                        payment_type: Some("TollFree".to_owned()),
                        ..sms("+18005550122", "Toll-free")
                    },
                ]),
                ..UserSpec::default()
            },
            UserSpec {
                name: Some("Sasha Cole".to_owned()),
                email: Some("sasha@example.com".to_owned()),
                numbers: Some(vec![NumberSpec {
                    campaign: Some("CampaignSuspended".to_owned()),
                    ..sms("+16505550123", "Campaign suspended")
                }]),
                ..UserSpec::default()
            },
        ],
        numbers: Vec::new(),
    };
    [first, second]
}
