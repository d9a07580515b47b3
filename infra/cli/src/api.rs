//! The requests and responses of the API, generated from its contract by `build.rs`.

#![expect(dead_code, reason = "the contract has more than the commands use")]

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use serde_json::Value;

include!(concat!(env!("OUT_DIR"), "/api.rs"));

/// A part of a path.
pub enum Part<'a> {
    Fixed(&'static str),
    /// It is percent-encoded.
    Parameter(&'a str),
}

/// A request, with the type of its response.
#[derive(Debug, Clone)]
pub struct Call<T> {
    pub method: &'static str,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Option<String>,
    pub idempotency_key: Option<String>,
    reply: PhantomData<fn() -> T>,
}

impl<T> Call<T> {
    fn new(method: &'static str, parts: &[Part<'_>]) -> Self {
        let mut url = url::Url::parse("http://path/").expect("a URL");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(parts.iter().map(|part| match part {
                Part::Fixed(text) => text,
                Part::Parameter(text) => *text,
            }));
        }
        let path = url.path().to_owned();
        Self { method, path, query: Vec::new(), body: None, idempotency_key: None, reply: PhantomData }
    }

    fn query(mut self, query: &impl Serialize) -> Self {
        let fields = serde_json::to_value(query).unwrap_or_default();
        self.query = fields
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect();
        self
    }

    fn body(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_string(body).ok();
        self
    }

    pub fn with_idempotency_key(mut self, key: &str) -> Self {
        self.idempotency_key = Some(key.to_owned());
        self
    }

    /// Whether a second request changes nothing more than the first one.
    pub fn is_repeatable(&self) -> bool {
        self.method != "POST" || self.idempotency_key.is_some()
    }
}
