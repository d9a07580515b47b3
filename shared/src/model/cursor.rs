//! Cursors: positions in lists. They are signed, so that a cursor works only for the list and the reader that it was created for.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

use super::secret::Secret;

const MAC_BYTES: usize = 32;
/// Longer texts are rejected.
const MAX_CHARS: usize = 512;

/// The signing key of one reader: a tenant, or the operator.
#[derive(Debug, Clone)]
pub struct CursorKey {
    reader: String,
    key: Secret,
}

impl CursorKey {
    pub fn new(reader: impl Into<String>, key: Secret) -> Self {
        Self { reader: reader.into(), key }
    }

    pub fn of(&self, list: impl Into<String>) -> Cursors {
        Cursors { key: self.clone(), list: list.into() }
    }
}

/// Signs and verifies the cursors of one list for one reader.
#[derive(Debug, Clone)]
pub struct Cursors {
    key: CursorKey,
    list: String,
}

impl Cursors {
    /// The cursor of the next page; `None` at the end of the list.
    pub fn seal(&self, position: Option<String>) -> Option<String> {
        let position = position?;
        let mac = hmac::sign(&self.mac_key(), self.message(&position).as_bytes());
        Some(BASE64URL_NOPAD.encode(&[mac.as_ref(), position.as_bytes()].concat()))
    }

    /// The position in a cursor; `None` unless it was created for this list and reader.
    pub fn open(&self, cursor: &str) -> Option<String> {
        let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok().filter(|_| cursor.len() <= MAX_CHARS)?;
        let (mac, position) = bytes.split_at_checked(MAC_BYTES)?;
        let position = std::str::from_utf8(position).ok()?;
        hmac::verify(&self.mac_key(), self.message(position).as_bytes(), mac).ok()?;
        Some(position.to_owned())
    }

    fn mac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key.key.expose().as_bytes())
    }

    fn message(&self, position: &str) -> String {
        format!("cursor\n{}\n{}\n{position}", self.key.reader, self.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_valid_only_for_its_list_and_reader() {
        let of = |reader: &str, key: &str, list: &str| CursorKey::new(reader, Secret::new(key)).of(list);
        let apps = of("tenant_1", "k", "apps");
        assert_eq!(apps.seal(None), None);
        let cursor = apps.seal(Some("app#1".to_owned())).unwrap();
        assert_eq!(apps.open(&cursor).as_deref(), Some("app#1"));
        assert_eq!(of("tenant_1", "k", "audit").open(&cursor), None);
        assert_eq!(of("tenant_2", "k", "apps").open(&cursor), None);
        assert_eq!(of("tenant_1", "l", "apps").open(&cursor), None);
        for at in 0..cursor.len() {
            let mut other = cursor.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert_ne!(apps.open(std::str::from_utf8(&other).unwrap()).as_deref(), Some("app#1"), "{at}");
        }
        for bad in ["", "x", "nonsense!", &"A".repeat(600)] {
            assert_eq!(apps.open(bad), None);
        }
    }
}
