//! Apps of a tenant, and their API keys.

use std::net::{IpAddr, Ipv4Addr};

use aws_lc_rs::{constant_time, digest, rand};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ipnet::{IpNet, Ipv4Net};
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
        /// Subscribes and unsubscribes Power Automate flows, and nothing else.
        TriggersManage = "triggers:manage",
        ConsentsRead = "consents:read",
        /// Changes consents and the tenant's settings.
        ConsentsWrite = "consents:write",
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
    /// Where events are sent. Of a Power Automate flow only the origin: its URL is a secret, and is sealed.
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
    /// The digest of the token with which a Power Automate flow unsubscribes.
    pub trigger_token: Option<String>,
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

/// What a key may do, from where, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGrant {
    pub scopes: Vec<Scope>,
    /// Where the key may be used from; anywhere if empty.
    pub allowed_ips: Vec<IpNet>,
    pub expires_at: Option<Timestamp>,
}

/// What one grant has beyond another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantExcess {
    Scopes(Vec<Scope>),
    AllowedIps,
    ExpiresAt,
}

impl KeyGrant {
    /// All scopes, from anywhere, without an end.
    pub fn full() -> Self {
        Self { scopes: Scope::ALL.to_vec(), allowed_ips: Vec::new(), expires_at: None }
    }

    /// What `other` has beyond this grant: the first of scopes, addresses and end.
    pub fn excess_of(&self, other: &Self) -> Option<GrantExcess> {
        let scopes: Vec<Scope> =
            other.scopes.iter().filter(|scope| !self.scopes.contains(scope)).copied().collect();
        if !scopes.is_empty() {
            return Some(GrantExcess::Scopes(scopes));
        }
        // Adjacent ranges together contain ranges that none of them contains alone.
        let own = IpNet::aggregate(&self.allowed_ips);
        let is_within = |range: &IpNet| own.iter().any(|own| own.contains(range));
        let is_anywhere = other.allowed_ips.is_empty();
        if !own.is_empty() && (is_anywhere || !other.allowed_ips.iter().all(is_within)) {
            return Some(GrantExcess::AllowedIps);
        }
        let ends_later = |end: Timestamp| other.expires_at.is_none_or(|other| other > end);
        self.expires_at.is_some_and(ends_later).then_some(GrantExcess::ExpiresAt)
    }

    /// What both grants allow; `None` if that is nothing.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let scopes: Vec<Scope> =
            self.scopes.iter().filter(|scope| other.scopes.contains(scope)).copied().collect();
        let expires_at = [self.expires_at, other.expires_at].into_iter().flatten().min();
        let allowed_ips = match (self.allowed_ips.as_slice(), other.allowed_ips.as_slice()) {
            ([], ranges) | (ranges, []) => ranges.to_vec(),
            (ranges, others) => {
                // Two ranges are disjoint, or one contains the other.
                let pairs = ranges.iter().flat_map(|range| others.iter().map(move |other| (range, other)));
                let common = pairs.filter_map(|(range, other)| {
                    if range.contains(other) { Some(*other) } else { other.contains(range).then_some(*range) }
                });
                let common = IpNet::aggregate(&common.collect());
                // An empty list would allow every address.
                if common.is_empty() {
                    return None;
                }
                common
            }
        };
        (!scopes.is_empty()).then_some(Self { scopes, allowed_ips, expires_at })
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// True if the key may be used from this address. An unknown address is in no range.
    pub fn allows_address(&self, source: Option<IpAddr>) -> bool {
        self.allowed_ips.is_empty()
            || source.is_some_and(|ip| {
                let ip = ip.to_canonical();
                self.allowed_ips.iter().any(|range| range.contains(&ip))
            })
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
    pub grant: KeyGrant,
    pub created_at: Timestamp,
}

impl KeyRecord {
    pub fn of(key: &ApiKey, app: &AppId, grant: KeyGrant, now: Timestamp) -> Self {
        Self {
            tenant: key.tenant().clone(),
            id: key.id().clone(),
            app: app.clone(),
            digest: key.digest(),
            grant,
            created_at: now,
        }
    }

    /// The non-secret beginning of the key.
    pub fn prefix(&self) -> String {
        prefix(&self.tenant, &self.id)
    }
}

/// Parses a CIDR range or a single address. IPv4 addresses that are written as IPv6 (`::ffff:192.0.2.0/120`) are read as IPv4,
/// as the addresses of requests are.
pub fn ip_range(text: &str) -> Option<IpNet> {
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let range = text.parse::<IpNet>().ok().or_else(single)?.trunc();
    let IpNet::V6(mapped) = range else { return Some(range) };
    let Some(address) = mapped.addr().to_ipv4_mapped() else {
        // A range around the mapped addresses would not match an IPv4 client. All of IPv6 is what it says.
        let all_mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
        return (mapped.prefix_len() == 0 || !mapped.contains(&all_mapped)).then_some(range);
    };
    let length = mapped.prefix_len().checked_sub(96)?;
    Ipv4Net::new(address, length).ok().map(IpNet::V4)
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
    use ipnet::Ipv6Net;
    use proptest::prelude::*;
    use proptest::string::string_regex;

    use super::*;
    use crate::limits;

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
        let mut grant = KeyGrant::full();
        assert!(grant.allows_address(None));
        grant.allowed_ips =
            ["192.0.2.7/24", "203.0.113.9", "2001:db8::/32"].map(|text| ip_range(text).unwrap()).into();
        for good in ["192.0.2.200", "203.0.113.9", "::ffff:192.0.2.1", "2001:db8::1"] {
            assert!(grant.allows_address(good.parse().ok()), "{good}");
        }
        for bad in ["192.0.3.1", "203.0.113.8", "2001:db9::1"] {
            assert!(!grant.allows_address(bad.parse().ok()), "{bad}");
        }
        assert!(!grant.allows_address(None));
        for bad in ["", "nonsense", "192.0.2.0/33", "192.0.2", "2001:db8::/129"] {
            assert!(ip_range(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn ipv4_addresses_in_ipv6_notation_are_read_as_ipv4() {
        for (text, range) in [
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
            ("::ffff:7f00:1", "127.0.0.1/32"),
            ("0:0:0:0:0:FFFF:192.0.2.9", "192.0.2.9/32"),
            ("::ffff:192.0.2.9/120", "192.0.2.0/24"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(ip_range(text).unwrap().to_string(), range, "{text}");
        }
    }

    fn ranges() -> impl Strategy<Value = Vec<IpNet>> {
        // Few addresses with many prefixes, so that ranges often nest, are equal or adjacent.
        let v4 = (0_u32..4, 29_u8..=32).prop_map(|(at, length)| {
            IpNet::V4(Ipv4Net::new((0xc000_0200 + at * 2).into(), length).unwrap()).trunc()
        });
        let any = proptest::sample::select(vec!["0.0.0.0/0", "::/0", "2001:db8::/126", "2001:db8::2/127"])
            .prop_map(|text| ip_range(text).unwrap());
        proptest::collection::vec(prop_oneof![4 => v4, 1 => any], 0..4)
    }

    fn grants() -> impl Strategy<Value = KeyGrant> {
        let scopes = proptest::sample::subsequence(Scope::ALL.to_vec(), 1..=Scope::ALL.len());
        let ends = proptest::option::of(0_i64..4);
        (scopes, ranges(), ends).prop_map(|(scopes, allowed_ips, end)| KeyGrant {
            scopes,
            allowed_ips,
            expires_at: end.map(|end| Timestamp::from_second(end).unwrap()),
        })
    }

    /// Every request of a small world that a grant allows: scope, address and time.
    fn allowed(grant: &KeyGrant) -> Vec<(Scope, Option<IpAddr>, i64)> {
        let addresses: Vec<Option<IpAddr>> = (0..10_u32)
            .map(|at| Some(IpAddr::V4((0xc000_0200 + at).into())))
            .chain(["2001:db8::", "2001:db8::3", "2001:db8::9", "10.0.0.1"].map(|text| text.parse().ok()))
            .chain([None])
            .collect();
        let mut allowed = Vec::new();
        for scope in Scope::ALL.into_iter().filter(|scope| grant.scopes.contains(scope)) {
            for address in addresses.iter().filter(|address| grant.allows_address(**address)) {
                let times = (-1..5).filter(|at| !grant.is_expired(Timestamp::from_second(*at).unwrap()));
                allowed.extend(times.map(|at| (scope, *address, at)));
            }
        }
        allowed
    }

    proptest! {
        #[test]
        fn an_address_that_matches_the_documented_pattern_is_accepted(
            text in string_regex(limits::ADDRESS_PATTERN.trim_matches(['^', '$'])).unwrap()
        ) {
            let mapped: Ipv6Net = "::ffff:0:0/96".parse().unwrap();
            let range: Option<Ipv6Net> = text.parse().ok();
            let is_around_ipv4 = range.is_some_and(|range| range.contains(&mapped) && range.prefix_len() > 0);
            prop_assert!(is_around_ipv4 || ip_range(&text).is_some(), "{text:?}");
        }

        /// Exact for every request from a known address. A grant for anywhere also allows requests from an unknown one.
        #[test]
        fn a_grant_without_excess_allows_nothing_more(own in grants(), other in grants()) {
            let more = allowed(&other).into_iter().any(|request| !allowed(&own).contains(&request));
            match own.excess_of(&other) {
                None => prop_assert!(!more, "{other:?} can do more than {own:?}"),
                Some(GrantExcess::Scopes(scopes)) => prop_assert!(!scopes.is_empty()),
                Some(_) => {}
            }
            prop_assert_eq!(own.excess_of(&own), None);
        }

        #[test]
        fn the_intersection_of_grants_is_what_both_allow(one in grants(), other in grants()) {
            let both: Vec<_> =
                allowed(&one).into_iter().filter(|request| allowed(&other).contains(request)).collect();
            match one.intersection(&other) {
                Some(common) => {
                    prop_assert_eq!(allowed(&common), both);
                    prop_assert_eq!(one.excess_of(&common), None);
                    prop_assert_eq!(other.excess_of(&common), None);
                }
                None => prop_assert!(both.is_empty()),
            }
        }
    }
}
