//! Apps of a tenant, and their API keys.

use std::net::IpAddr;

use aws_lc_rs::{constant_time, digest, rand};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ipnet::IpNet;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::event::{Event, EventKind};
use super::ids::{AppId, KeyId, TenantId};
use super::phone::E164;
use super::secret::Secret;
use super::string_enum::string_enum;

string_enum! {
    /// What a key may do.
    #[derive(PartialOrd, Ord)]
    pub enum Scope {
        SmsSend = "sms:send",
        /// Reads messages, numbers and connections.
        SmsRead = "sms:read",
        /// Connects and disconnects RingCentral extensions.
        RcManage = "rc:manage",
        /// Manages every app of the tenant.
        AppsManage = "apps:manage",
    }
}

string_enum! {
    pub enum AppKind {
        /// A program with API keys. It gets every event that its filters let through.
        Program = "program",
        /// A Power Automate flow. It has no keys and gets inbound messages only, in the shape of its connector.
        Trigger = "trigger",
    }
}

#[derive(Debug, Clone)]
pub struct App {
    pub tenant: TenantId,
    pub id: AppId,
    pub kind: AppKind,
    pub name: String,
    pub webhook_url: Option<String>,
    /// Delivers only events of these types; all if empty.
    pub event_types: Vec<EventKind>,
    /// Delivers only events of these numbers; all if empty. Events without a number are always delivered.
    pub numbers: Vec<E164>,
    /// A free text of the tenant.
    pub role: Option<String>,
    /// The first key, or the one that replaced it.
    pub main_key: Option<KeyId>,
    /// All keys, including the main key.
    pub keys: Vec<KeyId>,
    pub created_at: Timestamp,
}

/// A received message, as a Power Automate flow gets it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerMessage<'a> {
    /// The id of the message.
    message_id: &'a str,
    /// The sender's phone number; an extension number of the same account, or `anonymous`.
    from: &'a str,
    /// The phone number of the tenant that received the message.
    to: &'a str,
    /// The text of the message.
    text: &'a str,
    /// When the message was received.
    #[schemars(with = "Timestamp")]
    received_at: String,
}

impl App {
    /// True if the event passes the filters of the app.
    pub fn wants(&self, event: &Event) -> bool {
        let kind = self.event_types.is_empty() || self.event_types.contains(&event.kind);
        let number = match event.own_number() {
            Some(number) if !self.numbers.is_empty() => {
                self.numbers.iter().any(|wanted| wanted.as_str() == number)
            }
            _ => true,
        };
        kind && number && (self.kind == AppKind::Program || event.kind == EventKind::SmsInbound)
    }

    /// The webhook body of the event in the format of the app.
    pub fn body_of(&self, event: &Event) -> String {
        match self.kind {
            AppKind::Program => event.json().to_string(),
            AppKind::Trigger => {
                let field = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default();
                let message = TriggerMessage {
                    message_id: field("messageId"),
                    from: field("from"),
                    to: field("to"),
                    text: field("body"),
                    received_at: format!("{:.3}", event.at),
                };
                serde_json::to_string(&message).expect("messages are plain data")
            }
        }
    }
}

/// The stored part of an API key.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    pub tenant: TenantId,
    pub id: KeyId,
    pub app: AppId,
    /// SHA-256 of the whole key, in hexadecimal.
    pub digest: String,
    pub scopes: Vec<Scope>,
    /// Where the key may be used from; anywhere if empty.
    pub allowed_ips: Vec<IpNet>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

impl KeyRecord {
    /// The record of a new key, without expiry or address ranges.
    pub fn of(key: &ApiKey, app: &AppId, scopes: Vec<Scope>, now: Timestamp) -> Self {
        Self {
            tenant: key.tenant().clone(),
            id: key.id().clone(),
            app: app.clone(),
            digest: key.digest(),
            scopes,
            allowed_ips: Vec::new(),
            created_at: now,
            expires_at: None,
        }
    }

    /// The non-secret beginning of the key.
    pub fn prefix(&self) -> String {
        prefix(&self.tenant, &self.id)
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// True if the key may be used from this address. An unknown address is in no range.
    pub fn may_be_used_from(&self, source: Option<IpAddr>) -> bool {
        self.allowed_ips.is_empty()
            || source.is_some_and(|ip| {
                let ip = ip.to_canonical();
                self.allowed_ips.iter().any(|range| range.contains(&ip))
            })
    }
}

/// Parses a CIDR range or a single address.
pub fn ip_range(text: &str) -> Option<IpNet> {
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(single).map(|range| range.trunc())
}

/// A complete API key.
///
/// `sgw_`, then in lower-case base32 (`a`–`z`, `2`–`7`): 26 characters with the ids of tenant and key, 52 characters of secret
/// (256 bits), and 7 characters of checksum over everything before. Secret scanners can match `sgw_[a-z2-7]{85}`. With the
/// two ids, one read fetches tenant and key together. Only the digest of the whole key authenticates.
#[derive(Debug, Clone)]
pub struct ApiKey {
    tenant: TenantId,
    id: KeyId,
    text: Secret,
}

const PREFIX: &str = "sgw_";
const PUBLIC_CHARS: usize = 26;
const SECRET_CHARS: usize = 52;
const CHECKSUM_CHARS: usize = 7;

impl ApiKey {
    pub fn generate(tenant: &TenantId) -> Self {
        let id = KeyId::generate();
        let mut secret = zeroize::Zeroizing::new([0_u8; 32]);
        rand::fill(secret.as_mut_slice()).expect("the system's random generator works");
        let body = format!("{}{}", prefix(tenant, &id), base32(secret.as_slice()));
        let text = format!("{body}{}", checksum(&body));
        Self { tenant: tenant.clone(), id, text: Secret::new(text) }
    }

    /// `None` if the form or the checksum is wrong, so that a mistyped key costs no read.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        if rest.len() != PUBLIC_CHARS + SECRET_CHARS + CHECKSUM_CHARS || !rest.is_ascii() {
            return None;
        }
        let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARS);
        if checksum(body) != sum {
            return None;
        }
        let public = BASE32_NOPAD.decode(rest[..PUBLIC_CHARS].to_ascii_uppercase().as_bytes()).ok()?;
        let (tenant, id) = public.split_at_checked(8)?;
        Some(Self {
            tenant: TenantId::from_record(&format!("{}{}", TenantId::PREFIX, HEXLOWER.encode(tenant)))?,
            id: KeyId::parse(&format!("{}{}", KeyId::PREFIX, HEXLOWER.encode(id)))?,
            text: Secret::new(text),
        })
    }

    /// The tenant that the key claims; not authenticated.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The non-secret beginning of the key, which identifies it.
    pub fn prefix(&self) -> String {
        prefix(&self.tenant, &self.id)
    }

    /// The whole key, shown only once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// SHA-256 in hexadecimal, as it is stored.
    pub fn digest(&self) -> String {
        self.text.digest()
    }

    /// Compares with a stored digest in constant time.
    pub fn matches(&self, digest: &str) -> bool {
        constant_time::verify_slices_are_equal(self.digest().as_bytes(), digest.as_bytes()).is_ok()
    }
}

impl KeyId {
    /// The non-secret beginning of the key with this id.
    pub fn key_prefix(&self, tenant: &TenantId) -> String {
        prefix(tenant, self)
    }
}

fn prefix(tenant: &TenantId, id: &KeyId) -> String {
    let mut public = Vec::with_capacity(16);
    for digits in [tenant.digits(), id.digits()] {
        public.extend(HEXLOWER.decode(digits.as_bytes()).expect("ids are hexadecimal"));
    }
    format!("{PREFIX}{}", base32(&public))
}

fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

fn checksum(body: &str) -> String {
    base32(&digest::digest(&digest::SHA256, body.as_bytes()).as_ref()[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_contains_its_tenant_and_parses_back() {
        let tenant = TenantId::generate();
        let key = ApiKey::generate(&tenant);
        let again = ApiKey::parse(key.expose()).unwrap();
        assert_eq!((again.tenant(), again.id()), (&tenant, key.id()));
        assert!(again.matches(&key.digest()));
        assert_eq!(key.expose().len(), 89);
        assert!(key.expose().starts_with(&key.prefix()));
    }

    #[test]
    fn one_wrong_character_anywhere_fails_the_checksum() {
        let key = ApiKey::generate(&TenantId::generate());
        for at in 0..key.expose().len() {
            let mut bytes = key.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert!(ApiKey::parse(std::str::from_utf8(&bytes).unwrap()).is_none(), "position {at}");
        }
        for bad in [
            "",
            "sgw_",
            "Bearer",
            &key.expose()[1..],
            &format!("{}a", key.expose()),
            &key.expose().to_uppercase(),
        ] {
            assert!(ApiKey::parse(bad).is_none());
        }
    }

    #[test]
    fn a_key_is_accepted_only_from_its_address_ranges() {
        let key = ApiKey::generate(&TenantId::generate());
        let mut record = KeyRecord::of(&key, &AppId::generate(), Scope::ALL.to_vec(), Timestamp::UNIX_EPOCH);
        assert!(record.may_be_used_from(None));
        record.allowed_ips =
            ["192.0.2.7/24", "203.0.113.9", "2001:db8::/32"].map(|text| ip_range(text).unwrap()).into();
        for good in ["192.0.2.200", "203.0.113.9", "::ffff:192.0.2.1", "2001:db8::1"] {
            assert!(record.may_be_used_from(good.parse().ok()), "{good}");
        }
        for bad in ["192.0.3.1", "203.0.113.8", "2001:db9::1"] {
            assert!(!record.may_be_used_from(bad.parse().ok()), "{bad}");
        }
        assert!(!record.may_be_used_from(None));
        for bad in ["", "nonsense", "192.0.2.0/33", "192.0.2", "2001:db8::/129"] {
            assert!(ip_range(bad).is_none(), "{bad}");
        }
    }
}
