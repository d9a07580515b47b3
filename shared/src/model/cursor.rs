//! Cursors: where a list goes on. Signed, so that one works only for the list and the reader that it was made for.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

use super::secret::Secret;

const MAC_BYTES: usize = 32;
/// Longer texts are no cursors of ours.
const MAX_CHARS: usize = 512;

/// Signs the cursors of one reader: a tenant, or the operator.
#[derive(Debug, Clone)]
pub struct CursorKey {
    reader: String,
    key: Secret,
}

impl CursorKey {
    /// A reader's key.
    pub fn new(reader: impl Into<String>, key: Secret) -> Self {
        Self { reader: reader.into(), key }
    }

    /// A position in a list, as the reader is given it.
    pub fn seal(&self, list: &str, position: &str) -> String {
        let mac = hmac::sign(&self.mac_key(), self.message(list, position).as_bytes());
        BASE64URL_NOPAD.encode(&[mac.as_ref(), position.as_bytes()].concat())
    }

    /// The position in a cursor; `None` unless this key has signed it for this list.
    pub fn open(&self, list: &str, cursor: &str) -> Option<String> {
        let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok().filter(|_| cursor.len() <= MAX_CHARS)?;
        let (mac, position) = bytes.split_at_checked(MAC_BYTES)?;
        let position = std::str::from_utf8(position).ok()?;
        hmac::verify(&self.mac_key(), self.message(list, position).as_bytes(), mac).ok()?;
        Some(position.to_owned())
    }

    fn mac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key.expose().as_bytes())
    }

    fn message(&self, list: &str, position: &str) -> String {
        format!("cursor\n{}\n{list}\n{position}", self.reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_its_own_list_and_reader_only() {
        let key = CursorKey::new("tenant_1", Secret::new("k"));
        let cursor = key.seal("apps", "app#1");
        assert_eq!(key.open("apps", &cursor).as_deref(), Some("app#1"));
        assert_eq!(key.open("audit", &cursor), None);
        assert_eq!(CursorKey::new("tenant_2", Secret::new("k")).open("apps", &cursor), None);
        assert_eq!(CursorKey::new("tenant_1", Secret::new("l")).open("apps", &cursor), None);
        for at in 0..cursor.len() {
            let mut other = cursor.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert_ne!(
                key.open("apps", std::str::from_utf8(&other).unwrap()).as_deref(),
                Some("app#1"),
                "{at}"
            );
        }
        for bad in ["", "x", "nonsense!", &"A".repeat(600)] {
            assert_eq!(key.open("apps", bad), None);
        }
    }
}
