//! Identifiers, one type for each kind, so that they can't be confused.

use std::fmt;

use aws_lc_rs::{digest, rand};
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};

/// `BYTES` random bytes in lower-case hexadecimal.
fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0_u8; BYTES];
    rand::fill(&mut bytes).expect("the system's random generator works");
    HEXLOWER.encode(&bytes)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $from:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            pub const PREFIX: &'static str = $prefix;
            /// The regular expression of the id.
            pub const PATTERN: &'static str = concat!("^", $prefix, "[0-9a-f]{16}$");

            pub fn generate() -> Self {
                Self(format!("{}{}", $prefix, random_hex::<8>()))
            }

            pub fn $from(text: &str) -> Option<Self> {
                let digits = text.strip_prefix($prefix)?;
                (digits.len() == 16 && is_lower_hex(digits)).then(|| Self(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The 16 hexadecimal digits after the prefix.
            pub fn digits(&self) -> &str {
                &self.0[$prefix.len()..]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

prefixed_id!(
    /// `tenant_` and 16 hexadecimal digits.
    ///
    /// It is never taken from a tenant's request, only from an authenticated key, a stored record or a request of the operator.
    /// So it has no `Deserialize`, and `from_record` instead of `parse`.
    TenantId, "tenant_", from_record);
prefixed_id!(
    /// `app_` and 16 hexadecimal digits.
    AppId, "app_", parse);
prefixed_id!(
    /// `key_` and 16 hexadecimal digits. Not secret.
    KeyId, "key_", parse);
prefixed_id!(
    /// `conn_` and 16 hexadecimal digits. Authorizing the same extension again creates a new connection.
    ConnectionId, "conn_", from_record);

impl ConnectionId {
    /// `seconds`, up to a fifth more or less. The variation is fixed for each connection, so that recurring work of many
    /// connections spreads out. Over all connections the work recurs as often as if each took `seconds`.
    pub fn spread_interval(&self, seconds: i64) -> SignedDuration {
        let hash = self.as_str().bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 10_007);
        SignedDuration::from_secs(seconds.saturating_mul(100) / (85 + hash % 31))
    }
}

macro_rules! time_ordered_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $digits:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// The time in milliseconds as 12 hexadecimal digits, then 16 random ones, so that ids sort by time.
            pub fn generate(now: Timestamp) -> Self {
                let ms = now.as_millisecond().clamp(0, (1 << 48) - 1);
                Self(format!("{}{ms:012x}{}", $prefix, random_hex::<8>()))
            }

            /// The same time and seed always give the same id, so that a repeated write is idempotent.
            pub fn repeatable(at: Timestamp, seed: &str) -> Self {
                let ms = at.as_millisecond().clamp(0, (1 << 48) - 1);
                let digest = digest::digest(&digest::SHA256, seed.as_bytes());
                Self(format!("{}{ms:012x}{}", $prefix, HEXLOWER.encode(&digest.as_ref()[..8])))
            }

            /// A lower bound of the ids of this time and later.
            pub fn first_of(at: Timestamp) -> String {
                format!("{}{:012x}", $prefix, at.as_millisecond().clamp(0, (1 << 48) - 1))
            }

            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.strip_prefix($prefix)?;
                ($digits.contains(&digits.len()) && is_lower_hex(digits)).then(|| Self(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

time_ordered_id!(
    /// `evt_` and 28 hexadecimal digits, sorted by time.
    EventId, "evt_", 28..=28);
time_ordered_id!(
    /// `msg_` and 28 hexadecimal digits, sorted by time. Clients may still ask for ids of compatible gateways, which have 12 digits or
    /// more.
    MessageId, "msg_", 12..=64);
impl MessageId {
    /// The time in the id: when the message was accepted or received. `None` for ids of other gateways.
    pub fn at(&self) -> Option<Timestamp> {
        let digits = self.0.get(Self::PREFIX.len()..).filter(|digits| digits.len() == 28)?;
        Timestamp::from_millisecond(i64::from_str_radix(&digits[..12], 16).ok()?).ok()
    }
}

time_ordered_id!(
    /// `dlv_` and 28 hexadecimal digits, sorted by time.
    DeliveryId, "dlv_", 28..=28);

impl DeliveryId {
    /// Derived from event and app, so that a repeated fan-out creates no second delivery.
    pub fn of(event: &EventId, app: &str) -> Self {
        let time = &event.as_str()[EventId::PREFIX.len()..][..12];
        let digest = digest::digest(&digest::SHA256, format!("{event}#{app}").as_bytes());
        Self(format!("{}{time}{}", Self::PREFIX, HEXLOWER.encode(&digest.as_ref()[..8])))
    }

    /// A lower bound of the ids of this time.
    pub fn floor(at: Timestamp) -> Self {
        Self::with(at, "0000000000000000")
    }

    /// An upper bound of the ids of this time.
    pub fn ceiling(at: Timestamp) -> Self {
        Self::with(at, "ffffffffffffffff")
    }

    /// The time in the id.
    pub fn at(&self) -> Timestamp {
        let ms = i64::from_str_radix(&self.0[Self::PREFIX.len()..][..12], 16).unwrap_or_default();
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }

    fn with(at: Timestamp, rest: &str) -> Self {
        let ms = at.as_millisecond().clamp(0, (1 << 48) - 1);
        Self(format!("{}{ms:012x}{rest}", Self::PREFIX))
    }
}

/// A RingCentral extension, which is a user: a positive 64-bit number, stored as digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtensionId(String);

impl ExtensionId {
    /// `None` unless the text is 1 to 19 digits without a leading zero.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = (1..=19).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && !text.starts_with('0');
        ok.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExtensionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_id_has_the_documented_form() {
        let id = TenantId::generate();
        assert_eq!(TenantId::from_record(id.as_str()), Some(id.clone()));
        assert_eq!(id.digits().len(), 16);
    }

    #[test]
    fn time_ordered_ids_sort_by_time() {
        let at = |ms| EventId::generate(Timestamp::from_millisecond(ms).unwrap());
        assert!(at(1_800_000_000_000) < at(1_800_000_000_001));
        assert!(at(9) < at(16));
        assert_eq!(EventId::parse(at(5).as_str()).map(|id| id.as_str().len()), Some(32));
        assert_eq!(EventId::parse("evt_0123"), None);
    }

    #[test]
    fn a_delivery_id_is_derived_from_the_event_and_has_its_time() {
        let now = Timestamp::from_millisecond(1_800_000_000_123).unwrap();
        let event = EventId::generate(now);
        let id = DeliveryId::of(&event, "app_0123456789abcdef");
        assert_eq!(id, DeliveryId::of(&event, "app_0123456789abcdef"));
        assert!(id != DeliveryId::of(&event, "app_0123456789abcde0"));
        assert_eq!((id.at(), DeliveryId::parse(id.as_str())), (now, Some(id.clone())));
        assert!(DeliveryId::floor(now) <= id && id <= DeliveryId::ceiling(now));
    }

    #[test]
    fn malformed_ids_are_rejected() {
        let bad =
            ["", "tenant_", "tenant_0123456789abcde", "tenant_0123456789abcdeF", "app_0123456789abcdef"];
        for bad in bad.into_iter().chain(["tenant_0123456789abcdef0"]) {
            assert_eq!(TenantId::from_record(bad), None, "{bad}");
        }
        for bad in ["", "0", "01", "-1", "1a", "12345678901234567890"] {
            assert_eq!(ExtensionId::parse(bad), None, "{bad}");
        }
    }
}
