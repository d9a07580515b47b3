//! Reading and writing DynamoDB items with typed attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::StoreError;
use crate::limits;
use crate::model::connection::{Sealed, SealedToken};
use crate::model::ids::{ConnectionId, ExtensionId, TenantId};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Milliseconds since 1970, clamped to the range that [`Row::time`] reads.
pub(super) fn time(value: Timestamp) -> AttributeValue {
    number(value.as_millisecond().clamp(limits::STORED_TIME_MIN_MS, limits::STORED_TIME_MAX_MS))
}

/// Seconds since 1970, for DynamoDB's TTL. It deletes up to two days late, so readers check the expiry themselves.
pub(super) fn ttl(value: Timestamp) -> AttributeValue {
    number(value.as_second())
}

/// The key of an item in a tenant's partition; `name` is its sort key.
pub(super) fn key(tenant: &TenantId, name: &str) -> Item {
    Writer::keyed([("tenant", text(tenant.as_str())), ("item", text(name))]).done()
}

pub(super) fn bytes(value: &Sealed) -> AttributeValue {
    AttributeValue::B(Blob::new(value.as_bytes()))
}

/// Builds an item.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Item);

impl Writer {
    pub fn keyed<const N: usize>(key: [(&str, AttributeValue); N]) -> Self {
        Self(key.map(|(name, value)| (name.to_owned(), value)).into())
    }

    pub fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    pub fn maybe(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Sets the three attributes of a sealed token.
    pub fn sealed(self, name: &str, token: &SealedToken) -> Self {
        self.set(&format!("{name}_token"), bytes(&token.token))
            .set(&format!("{name}_key"), bytes(&token.key))
            .set(&format!("{name}_expires_at"), time(token.expires_at))
    }

    pub fn ciphertext(self, name: &str, value: &Sealed) -> Self {
        self.set(name, bytes(value))
    }

    pub fn done(self) -> Item {
        self.0
    }
}

/// An update expression that sets the attributes with a value and removes the others. Its names and values replace those that an
/// SDK builder already has, so they must be set first.
#[derive(Debug)]
pub(super) struct Change {
    pub expression: String,
    pub names: HashMap<String, String>,
    pub values: Item,
}

impl Change {
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

/// An item that was read.
#[derive(Debug)]
pub(super) struct Row(pub Item);

impl Row {
    fn field(&self, name: &'static str) -> Result<&AttributeValue, StoreError> {
        self.0.get(name).ok_or(StoreError::Damaged(name))
    }

    pub fn text(&self, name: &'static str) -> Result<&str, StoreError> {
        self.field(name)?.as_s().map(String::as_str).map_err(|_| StoreError::Damaged(name))
    }

    pub fn maybe_text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(|value| value.as_s().ok()).cloned()
    }

    pub fn number<N: std::str::FromStr>(&self, name: &'static str) -> Result<N, StoreError> {
        let digits = self.field(name)?.as_n().map_err(|_| StoreError::Damaged(name))?;
        digits.parse().map_err(|_| StoreError::Damaged(name))
    }

    pub fn maybe_number<N: std::str::FromStr>(&self, name: &'static str) -> Result<Option<N>, StoreError> {
        self.0.contains_key(name).then(|| self.number(name)).transpose()
    }

    pub fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        Timestamp::from_millisecond(self.number(name)?).map_err(|_| StoreError::Damaged(name))
    }

    pub fn maybe_time(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        self.0.contains_key(name).then(|| self.time(name)).transpose()
    }

    /// The strings of a list; none if the attribute is absent.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.0.get(name).and_then(|value| value.as_l().ok());
        list.into_iter().flatten().filter_map(|value| value.as_s().ok().cloned()).collect()
    }

    /// The maps of a list; none if the attribute is absent.
    pub fn rows(&self, name: &str) -> Vec<Self> {
        let list = self.0.get(name).and_then(|value| value.as_l().ok());
        list.into_iter().flatten().filter_map(|value| value.as_m().ok().cloned().map(Self)).collect()
    }

    pub fn ciphertext(&self, name: &'static str) -> Result<Sealed, StoreError> {
        let blob = self.field(name)?.as_b().map_err(|_| StoreError::Damaged(name))?;
        Ok(Sealed::from_record(blob.as_ref().to_vec()))
    }

    pub fn access(&self) -> Result<SealedToken, StoreError> {
        Ok(SealedToken {
            token: self.ciphertext("access_token")?,
            key: self.ciphertext("access_key")?,
            expires_at: self.time("access_expires_at")?,
        })
    }

    pub fn refresh(&self) -> Result<SealedToken, StoreError> {
        Ok(SealedToken {
            token: self.ciphertext("refresh_token")?,
            key: self.ciphertext("refresh_key")?,
            expires_at: self.time("refresh_expires_at")?,
        })
    }

    /// A value stored as a string, in the form that `parse` accepts.
    pub fn parsed<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        parse(self.text(name)?).ok_or(StoreError::Damaged(name))
    }

    /// Like [`Row::parsed`]; `None` if the attribute is absent.
    pub fn maybe_parsed<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        self.0.contains_key(name).then(|| self.parsed(name, parse)).transpose()
    }

    pub fn tenant(&self) -> Result<TenantId, StoreError> {
        self.parsed("tenant", TenantId::from_record)
    }

    pub fn connection(&self) -> Result<ConnectionId, StoreError> {
        self.parsed("connection", ConnectionId::from_record)
    }

    pub fn extension(&self) -> Result<ExtensionId, StoreError> {
        self.parsed("extension", ExtensionId::parse)
    }
}

pub(super) fn texts<T: AsRef<str>>(values: &[T]) -> AttributeValue {
    AttributeValue::L(values.iter().map(|value| text(value.as_ref())).collect())
}
