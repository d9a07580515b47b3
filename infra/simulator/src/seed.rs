//! The accounts, users, numbers and apps that exist from the start, and how more are made.
//!
//! Every secret carries the text `CANARY`, so that a test suite can search for leaks.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::state::{Account, App, Extension, Number, World};

/// Client id of the seed app, a confidential one.
pub const CLIENT_ID: &str = "SimGatewayApp0001";
/// Its secret.
pub const CLIENT_SECRET: &str = "sim-secret-CANARY-4f1c9a";
/// Client id of a public (PKCE) app with the same redirect URIs.
pub const PUBLIC_CLIENT_ID: &str = "SimPublicApp0001";

/// What a user of the simulator needs to begin: the `rc` object of `stack.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seed {
    /// Client id of the seed app.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Client id of the public app.
    pub public_client_id: String,
    /// Redirect URIs of both apps.
    pub redirect_uris: Vec<String>,
    /// All users that can sign in.
    pub users: Vec<SeedUser>,
}

/// One user who can sign in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedUser {
    /// Login name.
    pub username: String,
    /// The short number.
    pub extension: String,
    /// Login password.
    pub password: String,
    /// The extension's id.
    pub extension_id: String,
    /// The account's id.
    pub account_id: String,
    /// The numbers that the user can send SMS from.
    pub numbers: Vec<String>,
    /// A JWT credential for the JWT bearer grant.
    pub jwt: String,
}

/// The seed of a world: app and users.
#[must_use]
pub fn seed(world: &World) -> Seed {
    Seed {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        public_client_id: PUBLIC_CLIENT_ID.to_owned(),
        redirect_uris: world.app(CLIENT_ID).map(|app| app.redirect_uris.clone()).unwrap_or_default(),
        users: world.extensions.values().filter(|e| e.can_log_in()).map(|e| user(world, e)).collect(),
    }
}

/// One user as the seed shows it.
#[must_use]
pub fn user(world: &World, extension: &Extension) -> SeedUser {
    SeedUser {
        username: extension.username.clone(),
        extension: extension.number.clone(),
        password: extension.password.clone(),
        extension_id: extension.id.to_string(),
        account_id: extension.account_id.to_string(),
        numbers: world.sms_numbers_of(extension).map(|n| n.phone_number.clone()).collect(),
        jwt: extension.jwt.clone(),
    }
}

/// The seed apps.
#[must_use]
pub fn apps(redirect_uris: &[String]) -> Vec<App> {
    vec![
        App {
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(CLIENT_SECRET.to_owned()),
            name: "SMS Gateway".to_owned(),
            redirect_uris: redirect_uris.to_vec(),
        },
        App {
            client_id: PUBLIC_CLIENT_ID.to_owned(),
            client_secret: None,
            name: "SMS Gateway (public client)".to_owned(),
            redirect_uris: redirect_uris.to_vec(),
        },
    ]
}

/// An account to make; everything has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewAccount {
    /// The company.
    pub name: Option<String>,
    /// The brand, for example `2210`.
    pub brand_id: Option<String>,
    /// The main number.
    pub main_number: Option<String>,
    /// Its users; none: one user with one number.
    pub users: Vec<NewUser>,
    /// Numbers that belong to no user.
    pub numbers: Vec<NewNumber>,
}

/// A user to make.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewUser {
    /// The short number.
    pub extension: Option<String>,
    /// The full name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Login name; default: the first number, or the e-mail address.
    pub username: Option<String>,
    /// Login password.
    pub password: Option<String>,
    /// Administrator? Default: the first user is.
    pub admin: Option<bool>,
    /// User permissions; default: all that an administrator or a user has.
    pub permissions: Option<Vec<String>>,
    /// `User` or `Department`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `Enabled`, `Disabled`, …
    pub status: Option<String>,
    /// The user's numbers; absent: one direct number with all features.
    pub numbers: Option<Vec<NewNumber>>,
}

/// A number to make.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewNumber {
    /// E.164; absent: a free one is made up.
    pub phone_number: Option<String>,
    /// `DirectNumber`, `CompanyNumber`, …
    pub usage_type: Option<String>,
    /// `Local`, `TollFree`, …
    pub payment_type: Option<String>,
    /// `VoiceFax`, `VoiceOnly`, `FaxOnly`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What its owner calls it.
    pub label: Option<String>,
    /// Features of the extension that has it.
    pub features: Option<Vec<String>>,
    /// Status of its 10DLC campaign; `none`: not linked to one.
    pub campaign: Option<String>,
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

/// Makes an account and gives its id and the ids of its users.
pub fn add_account(world: &mut World, new: NewAccount) -> Result<(i64, Vec<i64>), String> {
    let id = world.next.account;
    world.next.account += 100;
    let main_number = match &new.main_number {
        Some(number) => free_number(world, number)?,
        None => made_up_number(world),
    };
    world.accounts.insert(
        id,
        Account {
            id,
            name: new.name.unwrap_or_else(|| format!("Company {id}")),
            status: "Confirmed".to_owned(),
            brand_id: new.brand_id.unwrap_or_else(|| "1210".to_owned()),
            main_number: main_number.clone(),
        },
    );
    let users = if new.users.is_empty() { vec![NewUser::default()] } else { new.users };
    let mut ids = Vec::new();
    for (index, user) in users.into_iter().enumerate() {
        ids.push(add_user(world, id, index, user)?);
    }
    // The main number is a number too, unless a user of the request was given it.
    let main = NewNumber {
        phone_number: Some(main_number.clone()),
        usage_type: Some("MainCompanyNumber".to_owned()),
        label: Some("Main".to_owned()),
        features: Some(vec!["CallerId".to_owned()]),
        ..NewNumber::default()
    };
    if !world.numbers.values().any(|n| n.phone_number == main_number) {
        add_number(world, id, None, main)?;
    }
    for number in new.numbers {
        add_number(world, id, None, number)?;
    }
    Ok((id, ids))
}

fn add_user(world: &mut World, account_id: i64, index: usize, new: NewUser) -> Result<i64, String> {
    let id = world.next.extension;
    world.next.extension += 1;
    let number = new.extension.unwrap_or_else(|| (101 + index).to_string());
    if world.extensions.values().any(|e| e.account_id == account_id && e.number == number) {
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
    world.extensions.insert(
        id,
        Extension {
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
    for number in new.numbers.unwrap_or_else(|| vec![NewNumber::default()]) {
        let phone_number = add_number(world, account_id, Some(id), number)?;
        first.get_or_insert(phone_number);
    }
    if let Some(extension) = world.extensions.get_mut(&id) {
        extension.username = new.username.or(first).unwrap_or(email);
    }
    Ok(id)
}

/// Adds a number and gives it in E.164.
fn add_number(
    world: &mut World,
    account_id: i64,
    owner: Option<i64>,
    new: NewNumber,
) -> Result<String, String> {
    let phone_number = match &new.phone_number {
        Some(number) => free_number(world, number)?,
        None => made_up_number(world),
    };
    let id = world.next.number;
    world.next.number += 1;
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
    world.numbers.insert(
        id,
        Number {
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

fn free_number(world: &World, number: &str) -> Result<String, String> {
    let digits = number.strip_prefix('+').unwrap_or_default();
    if digits.len() < 8 || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("phoneNumber: `{number}` is not an E.164 number"));
    }
    if world.numbers.values().any(|n| n.phone_number == number) {
        return Err(format!("phoneNumber: `{number}` exists"));
    }
    Ok(number.to_owned())
}

/// A number in the 555-01xx range that fiction may use.
fn made_up_number(world: &mut World) -> String {
    loop {
        let n = world.next.phone;
        world.next.phone += 1;
        let area = ["212", "312", "213", "617", "206", "303", "702", "503"];
        let area_code = usize::try_from(n / 100)
            .ok()
            .and_then(|index| area.get(index).map(|a| (*a).to_owned()))
            .unwrap_or_else(|| (300 + n / 100).to_string());
        let number = format!("+1{area_code}55501{:02}", n % 100);
        if !world.numbers.values().any(|known| known.phone_number == number) {
            return number;
        }
    }
}

/// A JWT credential: looks like one, and is compared as a whole.
fn jwt(extension_id: i64) -> String {
    let part = |value: serde_json::Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = part(json!({"alg": "RS256", "typ": "JWT", "kid": "sim"}));
    let payload = part(
        json!({"sub": extension_id.to_string(), "iss": "simulator", "jti": format!("jwt-{extension_id}")}),
    );
    format!("{header}.{payload}.CANARY-signature-{extension_id}")
}

/// Fills an empty world.
pub fn plant(world: &mut World) {
    let sms = |number: &str, label: &str| NewNumber {
        phone_number: Some(number.to_owned()),
        label: Some(label.to_owned()),
        ..NewNumber::default()
    };
    let caller_id = || Some(vec!["CallerId".to_owned()]);
    let first = NewAccount {
        name: Some("Example Supplies".to_owned()),
        brand_id: None,
        main_number: Some("+14155550100".to_owned()),
        users: vec![
            NewUser {
                name: Some("Dana Sim".to_owned()),
                email: Some("dana@example.com".to_owned()),
                numbers: Some(vec![
                    NewNumber {
                        usage_type: Some("MainCompanyNumber".to_owned()),
                        ..sms("+14155550100", "Main")
                    },
                    sms("+14155550101", "Desk"),
                ]),
                ..NewUser::default()
            },
            NewUser {
                name: Some("Robin Vale".to_owned()),
                email: Some("robin@example.com".to_owned()),
                numbers: Some(vec![
                    sms("+14155550102", "Desk"),
                    NewNumber {
                        features: caller_id(),
                        campaign: Some("none".to_owned()),
                        ..sms("+14155550105", "Not registered for 10DLC")
                    },
                ]),
                ..NewUser::default()
            },
            NewUser {
                name: Some("Kim Quiet".to_owned()),
                email: Some("kim@example.com".to_owned()),
                permissions: Some(
                    USER_PERMISSIONS
                        .iter()
                        .filter(|p| **p != "OutboundSMS")
                        .map(|p| (*p).to_owned())
                        .collect(),
                ),
                numbers: Some(vec![NewNumber {
                    features: caller_id(),
                    kind: Some("VoiceOnly".to_owned()),
                    ..sms("+14155550103", "Voice only")
                }]),
                ..NewUser::default()
            },
            NewUser {
                extension: Some("201".to_owned()),
                name: Some("Support Queue".to_owned()),
                email: Some("support@example.com".to_owned()),
                kind: Some("Department".to_owned()),
                numbers: Some(vec![NewNumber {
                    usage_type: Some("CompanyNumber".to_owned()),
                    ..sms("+14155550106", "Support queue")
                }]),
                ..NewUser::default()
            },
        ],
        numbers: vec![NewNumber {
            payment_type: Some("TollFree".to_owned()),
            features: caller_id(),
            ..sms("+18005550107", "Toll-free, not verified")
        }],
    };
    let second = NewAccount {
        name: Some("Sample Clinic".to_owned()),
        brand_id: None,
        main_number: Some("+16505550120".to_owned()),
        users: vec![
            NewUser {
                name: Some("Alex Reed".to_owned()),
                email: Some("alex@example.com".to_owned()),
                numbers: Some(vec![
                    sms("+16505550121", "Front desk"),
                    NewNumber {
                        usage_type: Some("CompanyNumber".to_owned()),
                        payment_type: Some("TollFree".to_owned()),
                        ..sms("+18005550122", "Toll-free")
                    },
                ]),
                ..NewUser::default()
            },
            NewUser {
                name: Some("Sasha Cole".to_owned()),
                email: Some("sasha@example.com".to_owned()),
                numbers: Some(vec![NewNumber {
                    campaign: Some("CampaignSuspended".to_owned()),
                    ..sms("+16505550123", "Campaign suspended")
                }]),
                ..NewUser::default()
            },
        ],
        numbers: Vec::new(),
    };
    for account in [first, second] {
        let made = add_account(world, account);
        debug_assert!(made.is_ok(), "the seed is wrong: {made:?}");
    }
}
