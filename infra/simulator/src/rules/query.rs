//! Query strings of resource calls.

use serde::de::DeserializeOwned;

use crate::platform::clock::{Millis, parse_time};
use crate::platform::errors::RestError;
use crate::platform::variants::parse_variant;

/// A query string with repeated names. An empty value counts as absent.
#[derive(Debug, Default)]
pub struct QueryString(Vec<(String, String)>);

impl QueryString {
    #[must_use]
    pub fn parse(raw: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes());
        Self(pairs.filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter, whether repeated or separated by commas.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, _)| k == name).flat_map(|(_, v)| v.split(',')).collect()
    }

    /// Whether a list parameter is absent or holds `value`.
    #[must_use]
    pub fn allows(&self, name: &str, value: &str) -> bool {
        let all = self.all(name);
        all.is_empty() || all.contains(&value)
    }

    /// All values of a list parameter as enum variants; 400 for an unknown one.
    pub fn variants<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, RestError> {
        let parse = |text| parse_variant(text).ok_or_else(|| RestError::parameter(name, text));
        self.all(name).into_iter().map(parse).collect()
    }

    /// A whole number of at least `min`.
    pub fn number(&self, name: &str, min: usize) -> Result<Option<usize>, RestError> {
        let parse = |text: &str| text.parse().ok().filter(|n| *n >= min);
        self.get(name).map(|text| parse(text).ok_or_else(|| RestError::parameter(name, text))).transpose()
    }

    /// `true` or `false`; absent means `false`.
    pub fn flag(&self, name: &str) -> Result<bool, RestError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(RestError::parameter(name, other)),
        }
    }

    pub fn time(&self, name: &str) -> Result<Option<Millis>, RestError> {
        self.get(name)
            .map(|text| parse_time(text).ok_or_else(|| RestError::parameter(name, text)))
            .transpose()
    }

    /// This query for another page, without an access token.
    #[must_use]
    pub fn with_page(&self, page: usize, per_page: usize) -> String {
        let kept = self.0.iter().filter(|(k, _)| k != "page" && k != "perPage" && k != "access_token");
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        query.append_pair("page", &page.to_string()).append_pair("perPage", &per_page.to_string());
        query.finish()
    }
}
