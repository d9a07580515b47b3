//! DynamoDB items as rows with typed fields.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::StoreError;
use crate::model::connection::{Sealed, SealedToken};
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// A text.
pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number.
pub(super) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A moment, in milliseconds since 1970.
pub(super) fn time(value: Timestamp) -> AttributeValue {
    number(value.as_millisecond())
}

/// A moment in seconds, as DynamoDB's TTL wants it. It deletes up to two days late: whoever reads checks the expiry
/// itself.
pub(super) fn ttl(value: Timestamp) -> AttributeValue {
    number(value.as_second())
}

/// The key of an item with a name in a tenant's partition.
pub(super) fn key(tenant: &TenantId, name: &str) -> Item {
    Writer::keyed([("tenant", text(tenant.as_str())), ("item", text(name))]).done()
}

/// Ciphertext.
pub(super) fn bytes(value: &Sealed) -> AttributeValue {
    AttributeValue::B(Blob::new(value.as_bytes()))
}

/// Writes an item field by field.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Item);

impl Writer {
    /// An item with this key.
    pub fn keyed<const N: usize>(key: [(&str, AttributeValue); N]) -> Self {
        Self(key.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// Sets a field.
    pub fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Sets a field if there is a value.
    pub fn maybe(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Sets the three fields of a sealed token.
    pub fn sealed(self, name: &str, token: &SealedToken) -> Self {
        self.set(&format!("{name}_token"), bytes(&token.token))
            .set(&format!("{name}_key"), bytes(&token.key))
            .set(&format!("{name}_expires_at"), time(token.expires_at))
    }

    /// Sets a field to ciphertext.
    pub fn ciphertext(self, name: &str, value: &Sealed) -> Self {
        self.set(name, bytes(value))
    }

    /// The item.
    pub fn done(self) -> Item {
        self.0
    }
}

/// A change of an item: the fields that have a value are set, the others are removed. A builder takes its names and values
/// before any others, which it would replace.
#[derive(Debug)]
pub(super) struct Change {
    /// The update expression.
    pub expression: String,
    /// Its names.
    pub names: HashMap<String, String>,
    /// Its values.
    pub values: Item,
}

impl Change {
    /// The change of these fields.
    pub fn of<N: Into<String>>(fields: impl IntoIterator<Item = (N, Option<AttributeValue>)>) -> Self {
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        let (mut names, mut values) = (HashMap::new(), Item::new());
        for (name, value) in fields {
            let name = name.into();
            match value {
                Some(value) => {
                    set.push(format!("#{name} = :{name}"));
                    values.insert(format!(":{name}"), value);
                }
                None => remove.push(format!("#{name}")),
            }
            names.insert(format!("#{name}"), name);
        }
        let part = |word: &str, parts: Vec<String>| {
            if parts.is_empty() { String::new() } else { format!("{word} {} ", parts.join(", ")) }
        };
        Self { expression: part("SET", set) + &part("REMOVE", remove), names, values }
    }
}

/// Reads an item field by field.
#[derive(Debug)]
pub(super) struct Row(pub Item);

impl Row {
    fn field(&self, name: &'static str) -> Result<&AttributeValue, StoreError> {
        self.0.get(name).ok_or(StoreError::Damaged(name))
    }

    /// A text that must be there.
    pub fn text(&self, name: &'static str) -> Result<&str, StoreError> {
        self.field(name)?.as_s().map(String::as_str).map_err(|_| StoreError::Damaged(name))
    }

    /// A text that may be there.
    pub fn maybe_text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(|value| value.as_s().ok()).cloned()
    }

    /// A whole number that must be there.
    pub fn number<N: std::str::FromStr>(&self, name: &'static str) -> Result<N, StoreError> {
        let digits = self.field(name)?.as_n().map_err(|_| StoreError::Damaged(name))?;
        digits.parse().map_err(|_| StoreError::Damaged(name))
    }

    /// A whole number that may be there.
    pub fn maybe_number<N: std::str::FromStr>(&self, name: &'static str) -> Result<Option<N>, StoreError> {
        self.0.contains_key(name).then(|| self.number(name)).transpose()
    }

    /// A moment that must be there.
    pub fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        Timestamp::from_millisecond(self.number(name)?).map_err(|_| StoreError::Damaged(name))
    }

    /// A moment that may be there.
    pub fn maybe_time(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        self.0.contains_key(name).then(|| self.time(name)).transpose()
    }

    /// Texts in a list; none if the field is absent.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.0.get(name).and_then(|value| value.as_l().ok());
        list.into_iter().flatten().filter_map(|value| value.as_s().ok().cloned()).collect()
    }

    /// Rows in a list; none if the field is absent.
    pub fn rows(&self, name: &str) -> Vec<Self> {
        let list = self.0.get(name).and_then(|value| value.as_l().ok());
        list.into_iter().flatten().filter_map(|value| value.as_m().ok().cloned().map(Self)).collect()
    }

    /// Ciphertext that must be there.
    pub fn ciphertext(&self, name: &'static str) -> Result<Sealed, StoreError> {
        let blob = self.field(name)?.as_b().map_err(|_| StoreError::Damaged(name))?;
        Ok(Sealed::from_record(blob.as_ref().to_vec()))
    }

    /// The access token.
    pub fn access(&self) -> Result<SealedToken, StoreError> {
        Ok(SealedToken {
            token: self.ciphertext("access_token")?,
            key: self.ciphertext("access_key")?,
            expires_at: self.time("access_expires_at")?,
        })
    }

    /// The refresh token.
    pub fn refresh(&self) -> Result<SealedToken, StoreError> {
        Ok(SealedToken {
            token: self.ciphertext("refresh_token")?,
            key: self.ciphertext("refresh_key")?,
            expires_at: self.time("refresh_expires_at")?,
        })
    }

    /// The tenant that the row belongs to.
    pub fn tenant(&self) -> Result<TenantId, StoreError> {
        TenantId::from_record(self.text("tenant")?).ok_or(StoreError::Damaged("tenant"))
    }

    /// A connection's id.
    pub fn connection(&self) -> Result<ConnectionId, StoreError> {
        ConnectionId::from_record(self.text("connection")?).ok_or(StoreError::Damaged("connection"))
    }

    /// An extension's id.
    pub fn extension(&self) -> Result<ExtensionId, StoreError> {
        ExtensionId::parse(self.text("extension")?).ok_or(StoreError::Damaged("extension"))
    }
}

/// A list of texts.
pub(super) fn texts<T: AsRef<str>>(values: &[T]) -> AttributeValue {
    AttributeValue::L(values.iter().map(|value| text(value.as_ref())).collect())
}
