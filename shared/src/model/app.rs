//! A tenant's programs and their API keys.

use std::net::IpAddr;

use aws_lc_rs::{constant_time, digest, rand};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::json;

use super::event::{Event, EventKind};
use super::ids::{AppId, KeyId, TenantId};
use super::phone::E164;
use super::secret::Secret;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Send texts.
    SmsSend,
    /// Read messages, numbers and connection state.
    SmsRead,
    /// Connect and disconnect RingCentral.
    RcManage,
    /// Manage every app of the tenant.
    AppsManage,
}

impl Scope {
    /// All of them: what an app's first key may do.
    pub const ALL: [Self; 4] = [Self::SmsSend, Self::SmsRead, Self::RcManage, Self::AppsManage];

    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SmsSend => "sms:send",
            Self::SmsRead => "sms:read",
            Self::RcManage => "rc:manage",
            Self::AppsManage => "apps:manage",
        }
    }

    /// The scope that a word of the contract names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// What an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKind {
    /// A program with keys, which is told of events as they are.
    Program,
    /// A flow of Power Automate: it has no keys, and is told of texts that come in, in the form of its connector.
    Trigger,
}

impl AppKind {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Trigger => "trigger",
        }
    }
}

/// A program of a tenant.
#[derive(Debug, Clone)]
pub struct App {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its id.
    pub id: AppId,
    /// What it is.
    pub kind: AppKind,
    /// Its name.
    pub name: String,
    /// Where its events go.
    pub webhook_url: Option<String>,
    /// Which events it is told of; of all if there is nothing here.
    pub event_types: Vec<EventKind>,
    /// Of which numbers; of all if there is nothing here. Events that are about no number are told in any case.
    pub numbers: Vec<E164>,
    /// A word of the tenant's own for what the app is.
    pub role: Option<String>,
    /// Its main key: the first one, or the one that took its place.
    pub main_key: Option<KeyId>,
    /// All its keys.
    pub keys: Vec<KeyId>,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl App {
    /// True if the app is to be told of an event.
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

    /// What the app is sent of an event.
    pub fn body_of(&self, event: &Event) -> String {
        match self.kind {
            AppKind::Program => event.json().to_string(),
            AppKind::Trigger => {
                let field = |name: &str| event.data.get(name);
                json!({
                    "messageId": field("messageId"), "from": field("from"), "to": field("to"),
                    "text": field("body"), "receivedAt": format!("{:.3}", event.at),
                })
                .to_string()
            }
        }
    }
}

/// What is kept of an API key.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// The tenant that it opens.
    pub tenant: TenantId,
    /// Its public part.
    pub id: KeyId,
    /// The app that it belongs to.
    pub app: AppId,
    /// SHA-256 of the whole key, in hexadecimal.
    pub digest: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From where it may be used; from anywhere if there is nothing here.
    pub allowed_ips: Vec<IpNet>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is dead, if ever.
    pub expires_at: Option<Timestamp>,
}

impl KeyRecord {
    /// What is to be kept of a key.
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

    /// The beginning of the key that may be shown.
    pub fn prefix(&self) -> String {
        prefix(&self.tenant, &self.id)
    }

    /// True from its expiry on.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// True if it may be used from an address. An unknown address is nowhere.
    pub fn may_be_used_from(&self, source: Option<IpAddr>) -> bool {
        self.allowed_ips.is_empty()
            || source.is_some_and(|ip| {
                let ip = ip.to_canonical();
                self.allowed_ips.iter().any(|range| range.contains(&ip))
            })
    }
}

/// A range of addresses: CIDR, or a single address.
pub fn ip_range(text: &str) -> Option<IpNet> {
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(single).map(|range| range.trunc())
}

/// An API key as its owner holds it.
///
/// `sgw_`, then in lower-case base32 (`a`–`z`, `2`–`7`): 26 characters that name the tenant and the key, 52 characters
/// of secret (256 bits), 7 characters of checksum over all before. Secret scanners can find one with
/// `sgw_[a-z2-7]{85}`. The public part says where to look, so that one read fetches tenant and key together; only the
/// digest of the whole decides.
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
    /// A new key of a tenant.
    pub fn generate(tenant: &TenantId) -> Self {
        let id = KeyId::generate();
        let mut secret = zeroize::Zeroizing::new([0_u8; 32]);
        rand::fill(secret.as_mut_slice()).expect("the system's random generator works");
        let body = format!("{}{}", prefix(tenant, &id), base32(secret.as_slice()));
        let text = format!("{body}{}", checksum(&body));
        Self { tenant: tenant.clone(), id, text: Secret::new(text) }
    }

    /// The key in a text; `None` if its form or its checksum is wrong, so that a mistyped key costs no look-up.
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

    /// Where to look for the record. Proves nothing.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The key's public part.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The beginning of the key that may be shown: it names the key, and opens nothing.
    pub fn prefix(&self) -> String {
        prefix(&self.tenant, &self.id)
    }

    /// The whole key, to be shown once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// What is stored of it: SHA-256 in hexadecimal.
    pub fn digest(&self) -> String {
        self.text.digest()
    }

    /// Compares with a stored digest in constant time.
    pub fn matches(&self, digest: &str) -> bool {
        constant_time::verify_slices_are_equal(self.digest().as_bytes(), digest.as_bytes()).is_ok()
    }
}

impl KeyId {
    /// The beginning of the key that has this id: it may be shown.
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
    fn a_key_names_its_tenant_and_parses_back() {
        let tenant = TenantId::generate();
        let key = ApiKey::generate(&tenant);
        let again = ApiKey::parse(key.expose()).unwrap();
        assert_eq!((again.tenant(), again.id()), (&tenant, key.id()));
        assert!(again.matches(&key.digest()));
        assert_eq!(key.expose().len(), 89);
        assert!(key.expose().starts_with(&key.prefix()));
    }

    #[test]
    fn one_wrong_character_anywhere_is_noticed_without_a_look_up() {
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
    fn a_key_is_good_from_its_addresses_only() {
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
