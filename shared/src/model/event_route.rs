//! The connection that a webhook URL names: `?c=TENANT-CONNECTION-TAG`.
//!
//! The tag is an HMAC over the other two. A request whose tag does not match is rejected without a call, so a stranger who knows
//! or guesses ids causes no cost. The tag does not authenticate an event; its verification token does.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use data_encoding::HEXLOWER;

use super::ids::{ConnectionId, TenantId};
use super::secret::Secret;

/// 128 bits of the HMAC.
const TAG_BYTES: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRoute {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    /// In hexadecimal.
    tag: String,
}

impl EventRoute {
    pub fn new(tenant: &TenantId, connection: &ConnectionId, key: &Secret) -> Self {
        Self { tenant: tenant.clone(), connection: connection.clone(), tag: tag(tenant, connection, key) }
    }

    /// `None` if the text does not have this format. The tag is not compared.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (tenant, connection, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let is_tag =
            tag.len() == 2 * TAG_BYTES && tag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if parts.next().is_some() || !is_tag {
            return None;
        }
        Some(Self {
            tenant: TenantId::from_record(&format!("{}{tenant}", TenantId::PREFIX))?,
            connection: ConnectionId::from_record(&format!("{}{connection}", ConnectionId::PREFIX))?,
            tag: tag.to_owned(),
        })
    }

    /// Compares the tag in constant time.
    pub fn is_tagged_with(&self, key: &Secret) -> bool {
        let expected = tag(&self.tenant, &self.connection, key);
        constant_time::verify_slices_are_equal(expected.as_bytes(), self.tag.as_bytes()).is_ok()
    }
}

impl fmt::Display for EventRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.tenant.digits(), self.connection.digits(), self.tag)
    }
}

fn tag(tenant: &TenantId, connection: &ConnectionId, key: &Secret) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    let tag = hmac::sign(&key, format!("{}-{}", tenant.digits(), connection.digits()).as_bytes());
    HEXLOWER.encode(&tag.as_ref()[..TAG_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_of_the_deployment_gives_the_tag_of_a_route() {
        let (key, other) = (Secret::new("key"), Secret::new("other"));
        let (tenant, connection) = (TenantId::generate(), ConnectionId::generate());
        let route = EventRoute::new(&tenant, &connection, &key);
        let text = route.to_string();
        let parsed = EventRoute::parse(&text).unwrap();
        assert_eq!(parsed, route);
        assert!(parsed.is_tagged_with(&key) && !parsed.is_tagged_with(&other));
        let (ids, tag) = text.rsplit_once('-').unwrap();
        assert_eq!(ids, format!("{}-{}", tenant.digits(), connection.digits()));
        let foreign = EventRoute::new(&tenant, &ConnectionId::generate(), &key).to_string();
        let moved = format!("{}-{tag}", foreign.rsplit_once('-').unwrap().0);
        assert!(!EventRoute::parse(&moved).unwrap().is_tagged_with(&key), "the tag of another connection");
        for bad in [
            "",
            ids,
            &format!("{ids}-"),
            &format!("{text}0"),
            &format!("{text}-0"),
            &text.to_uppercase(),
            &format!("g{}", &text[1..]),
        ] {
            assert!(EventRoute::parse(bad).is_none(), "{bad}");
        }
    }
}
