//! Parameters of OAuth requests.

use std::collections::HashMap;

use crate::platform::errors::OauthError;

/// A form or query as OAuth defines it: an empty value counts as absent, a repeated name is an error.
#[derive(Debug, Clone, Default)]
pub struct OauthParameters(HashMap<String, String>);

impl OauthParameters {
    pub fn parse(encoded: &[u8]) -> Result<Self, OauthError> {
        let mut parameters = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            if value.is_empty() {
                continue;
            }
            // The JavaScript SDK repeats `ui_options` on purpose.
            if parameters.insert(name.to_string(), value.to_string()).is_some() && name != "ui_options" {
                let text = format!("Duplicate parameter [{name}]");
                return Err(OauthError::new("invalid_request", "OAU-111", text).about_parameter(&name));
            }
        }
        Ok(Self(parameters))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn require(&self, name: &str) -> Result<&str, OauthError> {
        self.get(name).ok_or_else(|| OauthError::parameter(name))
    }
}
