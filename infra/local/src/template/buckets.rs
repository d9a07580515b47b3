//! Buckets and their lifecycle rules.

use anyhow::{Context, Result, bail};
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct BucketResource {
    pub name: String,
    pub lifecycle: Vec<LifecycleRule>,
}

#[derive(Clone, Debug)]
pub struct LifecycleRule {
    pub prefix: String,
    /// `None` if the rule only aborts multipart uploads, which the local stack does not have.
    pub expiration_days: Option<i64>,
}

/// The keys of a rule that have an effect, or need none on this machine.
const RULE_KEYS: [&str; 5] = ["Id", "Status", "Prefix", "ExpirationInDays", "AbortIncompleteMultipartUpload"];

pub fn bucket(name: String, properties: &Value) -> Result<BucketResource> {
    if name.to_lowercase() != name {
        bail!("{name}: a bucket's name is in lower case");
    }
    let mut lifecycle = Vec::new();
    for rule in properties["LifecycleConfiguration"]["Rules"].as_array().into_iter().flatten() {
        for (key, _) in rule.as_object().into_iter().flatten() {
            if !RULE_KEYS.contains(&key.as_str()) {
                bail!("{key} in a lifecycle rule is not supported by the local stack");
            }
        }
        let expiration_days = match &rule["ExpirationInDays"] {
            Value::Null => None,
            // The value of a parameter is text.
            Value::String(days) => Some(days.parse().ok()),
            days => Some(days.as_i64()),
        };
        let expiration_days = match expiration_days {
            None => None,
            Some(days) => {
                let days: Option<i64> = days.filter(|days| *days > 0);
                Some(days.context("ExpirationInDays must be a positive number")?)
            }
        };
        match rule["Status"].as_str() {
            Some("Enabled") => lifecycle.push(LifecycleRule {
                prefix: rule["Prefix"].as_str().unwrap_or_default().to_owned(),
                expiration_days,
            }),
            Some("Disabled") => {}
            _ => bail!("Status of a lifecycle rule must be Enabled or Disabled"),
        }
    }
    Ok(BucketResource { name, lifecycle })
}
