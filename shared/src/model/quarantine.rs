//! Quarantined records: data from outside, or rows of our own, that could not be read.

use std::fmt;

use aws_lc_rs::digest;
use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;

use super::ids::{ConnectionId, TenantId};
use super::string_enum::string_enum;
use crate::limits;

string_enum! {
    pub enum QuarantineKind {
        /// The body of a RingCentral event.
        Event = "event",
        /// A record of RingCentral's message store.
        MessageRecord = "message_record",
        /// A record of a list of phone numbers.
        PhoneNumber = "phone_number",
        /// A record of the list of subscriptions.
        Subscription = "subscription",
        /// An item of a table of this stack.
        TableRow = "table_row",
    }
}

/// `qr_` and 40 hexadecimal digits, derived from the record, so that a record is quarantined once however often it is seen. The
/// first 16 digits are those of the record's partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuarantineId(String);

const PREFIX: &str = "qr_";
const PARTITION_DIGITS: usize = 16;
const DIGEST_DIGITS: usize = 24;
/// The leading digits of the 16 partitions of records without a tenant.
const NO_TENANT: &str = "000000000000000";

impl QuarantineId {
    /// `identity` distinguishes the record from others of its kind: its content, or the name of a row.
    pub fn of(
        kind: QuarantineKind,
        tenant: Option<&TenantId>,
        connection: Option<&ConnectionId>,
        identity: &[u8],
    ) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in
            [kind.as_str().as_bytes(), connection.map_or("", ConnectionId::as_str).as_bytes(), identity]
        {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digits = HEXLOWER.encode(context.finish().as_ref());
        digits.truncate(DIGEST_DIGITS);
        match tenant {
            Some(tenant) => Self(format!("{PREFIX}{}{digits}", tenant.digits())),
            None => Self(format!("{PREFIX}{NO_TENANT}{}{digits}", &digits[..1])),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == PARTITION_DIGITS + DIGEST_DIGITS && digits.bytes().all(is_hex))
            .then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that holds the record: its tenant, or one of 16 reserved ids.
    pub fn partition(&self) -> TenantId {
        let digits = &self.0[PREFIX.len()..][..PARTITION_DIGITS];
        TenantId::from_record(&format!("{}{digits}", TenantId::PREFIX)).expect("an id contains its partition")
    }

    pub fn tenant(&self) -> Option<TenantId> {
        Some(self.partition()).filter(|partition| !partition.digits().starts_with(NO_TENANT))
    }
}

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known about a quarantined record without decrypting it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineEntry {
    pub id: QuarantineId,
    pub kind: QuarantineKind,
    /// The connection that it came by, if any.
    pub connection: Option<ConnectionId>,
    /// Why it could not be read. Contains no content of the record.
    pub reason: String,
    pub received_at: Timestamp,
}

/// The content of a record as text, and what that took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    pub text: String,
    pub encoding: RawEncoding,
    pub completeness: Completeness,
}

string_enum! {
    pub enum RawEncoding {
        /// The text is the content.
        Utf8 = "utf-8",
        /// The content is not UTF-8; the text is its Base64 form.
        Base64 = "base64",
    }
}

string_enum! {
    pub enum Completeness {
        Complete = "complete",
        /// The content exceeded [`limits::QUARANTINE_BYTES`]; the rest was not kept.
        Truncated = "truncated",
    }
}

impl RawRecord {
    /// Keeps at most [`limits::QUARANTINE_BYTES`] of the content.
    pub fn of(content: &[u8]) -> Self {
        let kept = &content[..content.len().min(limits::QUARANTINE_BYTES)];
        let completeness =
            if kept.len() < content.len() { Completeness::Truncated } else { Completeness::Complete };
        match std::str::from_utf8(kept) {
            Ok(text) => Self { text: text.to_owned(), encoding: RawEncoding::Utf8, completeness },
            // The cut may have split a character.
            Err(error) if error.error_len().is_none() && completeness == Completeness::Truncated => {
                let text = String::from_utf8_lossy(&kept[..error.valid_up_to()]).into_owned();
                Self { text, encoding: RawEncoding::Utf8, completeness }
            }
            Err(_) => Self { text: BASE64.encode(kept), encoding: RawEncoding::Base64, completeness },
        }
    }

    /// The content as it came; `None` if only a part of it was kept.
    pub fn content(&self) -> Option<Vec<u8>> {
        match (self.completeness, self.encoding) {
            (Completeness::Truncated, _) => None,
            (Completeness::Complete, RawEncoding::Utf8) => Some(self.text.clone().into_bytes()),
            (Completeness::Complete, RawEncoding::Base64) => BASE64.decode(self.text.as_bytes()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn content_is_kept_as_it_came(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(RawRecord::of(&content).content(), Some(content));
        }

        #[test]
        fn an_id_is_parsed_back_and_names_its_tenant(tenant in 1_u64.., content in ".{0,20}") {
            let tenant = TenantId::from_record(&format!("tenant_{tenant:016x}")).unwrap();
            let id = QuarantineId::of(QuarantineKind::Event, Some(&tenant), None, content.as_bytes());
            prop_assert_eq!(QuarantineId::parse(id.as_str()), Some(id.clone()));
            if tenant.as_str() > "tenant_000000000000000f" {
                prop_assert_eq!(id.tenant(), Some(tenant));
            }
        }
    }

    #[test]
    fn a_record_without_a_tenant_has_one_of_sixteen_partitions() {
        let ids: Vec<_> = (0..200)
            .map(|n: u32| QuarantineId::of(QuarantineKind::TableRow, None, None, &n.to_be_bytes()))
            .collect();
        assert!(ids.iter().all(|id| id.tenant().is_none()));
        let partitions: std::collections::BTreeSet<_> = ids.iter().map(QuarantineId::partition).collect();
        assert_eq!(partitions.len(), 16);
    }

    #[test]
    fn long_content_is_cut_between_characters() {
        let long = format!("{}é", "a".repeat(limits::QUARANTINE_BYTES - 1));
        let raw = RawRecord::of(long.as_bytes());
        assert_eq!((raw.text.len(), raw.encoding), (limits::QUARANTINE_BYTES - 1, RawEncoding::Utf8));
        assert_eq!((raw.completeness, raw.content()), (Completeness::Truncated, None));
    }

    #[test]
    fn malformed_ids_are_rejected() {
        for bad in
            ["", "qr_", "qr_0123", &format!("qr_{}", "g".repeat(40)), &format!("QR_{}", "0".repeat(40))]
        {
            assert_eq!(QuarantineId::parse(bad), None, "{bad}");
        }
    }
}
