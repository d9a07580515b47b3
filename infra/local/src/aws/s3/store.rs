//! The objects of all buckets. The data folder has an index, and a file for each object.

use super::object::{ObjectHeaders, StoredObject};
use crate::state_file::{self, StateFile};
use crate::template::{BucketResource, LifecycleRule};
use anyhow::{Context, Result};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Objects = BTreeMap<String, StoredObject>;

pub struct ObjectStore {
    /// By bucket and key.
    buckets: Mutex<BTreeMap<String, Objects>>,
    lifecycles: BTreeMap<String, Vec<LifecycleRule>>,
    index: StateFile,
    folder: Option<PathBuf>,
}

/// Whether a write may replace an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WriteCondition {
    None,
    /// `If-None-Match: *`.
    IsNew,
    /// `If-Match`.
    HasEtag(String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WriteError {
    NoSuchBucket,
    NoSuchKey,
    ConditionFailed,
    /// The data folder cannot be written.
    NotSaved,
}

impl ObjectStore {
    /// `folder` is the data folder, if there is one.
    pub fn open(index: StateFile, folder: Option<&Path>, resources: &[BucketResource]) -> Result<Self> {
        let folder = folder.map(|folder| folder.join("s3"));
        if let Some(folder) = &folder {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut buckets: BTreeMap<String, Objects> = index.load()?;
        for object in buckets.values_mut().flat_map(BTreeMap::values_mut) {
            let path = folder.as_ref().map(|folder| folder.join(&object.file)).unwrap_or_default();
            let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            object.bytes = bytes.into();
        }
        let mut lifecycles = BTreeMap::new();
        for resource in resources {
            buckets.entry(resource.name.clone()).or_default();
            lifecycles.insert(resource.name.clone(), resource.lifecycle.clone());
        }
        buckets.retain(|name, _| lifecycles.contains_key(name));
        Ok(Self { buckets: Mutex::new(buckets), lifecycles, index, folder })
    }

    #[must_use]
    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.lock().contains_key(bucket)
    }

    #[must_use]
    pub fn get(&self, bucket: &str, key: &str) -> Option<StoredObject> {
        self.lock().get(bucket)?.get(key).cloned()
    }

    pub fn put(
        &self,
        bucket: &str,
        key: &str,
        bytes: Bytes,
        headers: ObjectHeaders,
        condition: &WriteCondition,
        now: Timestamp,
    ) -> Result<StoredObject, WriteError> {
        let mut buckets = self.lock();
        let objects = buckets.get_mut(bucket).ok_or(WriteError::NoSuchBucket)?;
        match (condition, objects.get(key)) {
            (WriteCondition::None, _) | (WriteCondition::IsNew, None) => {}
            (WriteCondition::IsNew, Some(_)) => return Err(WriteError::ConditionFailed),
            (WriteCondition::HasEtag(_), None) => return Err(WriteError::NoSuchKey),
            (WriteCondition::HasEtag(etag), Some(existing)) => {
                if *etag != existing.etag {
                    return Err(WriteError::ConditionFailed);
                }
            }
        }
        let object = StoredObject {
            file: uuid::Uuid::new_v4().simple().to_string(),
            etag: HEXLOWER.encode(Md5::digest(&bytes).as_slice()),
            modified: now,
            headers,
            bytes,
        };
        if let Some(folder) = &self.folder {
            let written = state_file::write_private(&folder.join(&object.file), &object.bytes);
            written.map_err(|_| WriteError::NotSaved)?;
        }
        let replaced = objects.insert(key.to_owned(), object.clone());
        self.save(&buckets)?;
        self.remove_files(replaced);
        Ok(object)
    }

    /// Deletes objects that exist.
    pub fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), WriteError> {
        let mut buckets = self.lock();
        let objects = buckets.get_mut(bucket).ok_or(WriteError::NoSuchBucket)?;
        let removed: Vec<StoredObject> = keys.iter().filter_map(|key| objects.remove(key)).collect();
        if !removed.is_empty() {
            self.save(&buckets)?;
            self.remove_files(removed);
        }
        Ok(())
    }

    /// All objects, for the control API.
    #[must_use]
    pub fn overview(&self) -> Value {
        let buckets = self.lock();
        let objects = buckets.iter().flat_map(|(bucket, objects)| {
            objects.iter().map(move |(key, object)| {
                json!({
                    "bucket": bucket, "key": key, "size": object.bytes.len(), "modified": object.modified,
                    "contentType": object.headers.content_type, "etag": object.etag,
                })
            })
        });
        json!({ "objects": objects.collect::<Vec<_>>() })
    }

    /// The keys after `after` that begin with `prefix`, in order.
    #[must_use]
    pub fn list(&self, bucket: &str, prefix: &str, after: &str) -> Vec<(String, StoredObject)> {
        let buckets = self.lock();
        let objects = buckets.get(bucket).into_iter().flatten();
        objects
            .filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after)
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }

    /// Deletes what the lifecycle rules have expired by `now`. AWS does this up to a day late.
    pub fn delete_expired(&self, now: Timestamp) {
        for (bucket, rules) in &self.lifecycles {
            let is_expired = |key: &str, object: &StoredObject| {
                rules.iter().any(|rule| {
                    key.starts_with(&rule.prefix)
                        && rule.expiration_days.is_some_and(|days| expiry(object.modified, days) <= now)
                })
            };
            let expired: Vec<String> = {
                let buckets = self.lock();
                let objects = buckets.get(bucket).into_iter().flatten();
                objects.filter(|(key, object)| is_expired(key, object)).map(|(key, _)| key.clone()).collect()
            };
            if self.delete(bucket, &expired).is_err() {
                tracing::warn!(bucket = %bucket, "expired objects could not be deleted");
            }
        }
    }

    fn save(&self, buckets: &BTreeMap<String, Objects>) -> Result<(), WriteError> {
        self.index.save(buckets).map_err(|_| WriteError::NotSaved)
    }

    /// Files without an entry in the index are harmless, so a failure is not an error.
    fn remove_files(&self, objects: impl IntoIterator<Item = StoredObject>) {
        if let Some(folder) = &self.folder {
            for object in objects {
                let _ = fs::remove_file(folder.join(object.file));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Objects>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rule counts from the creation, and expires objects at the following midnight UTC.
fn expiry(created: Timestamp, days: i64) -> Timestamp {
    let expires = created.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX);
    let day = expires.to_zoned(TimeZone::UTC);
    let Ok(midnight) = day.start_of_day() else { return Timestamp::MAX };
    if midnight.timestamp() == expires {
        return expires;
    }
    midnight.checked_add(1.day()).map_or(Timestamp::MAX, |next| next.timestamp())
}

#[cfg(test)]
mod tests {
    use super::expiry;

    #[test]
    fn objects_expire_at_the_midnight_after_their_days() {
        for (created, days, expected) in [
            ("2026-01-15T10:30:00Z", 3, "2026-01-19T00:00:00Z"),
            ("2026-01-15T00:00:00Z", 1, "2026-01-16T00:00:00Z"),
            ("2026-02-28T23:59:59Z", 1, "2026-03-02T00:00:00Z"),
        ] {
            assert_eq!(expiry(created.parse().unwrap(), days).to_string(), expected);
        }
    }
}
