//! The origins in the absolute URLs of replies and events.

#[derive(Debug, Clone)]
pub struct BaseUrls {
    /// Serves the API, for example `http://localhost:9410`.
    pub api: String,
    /// Serves the content of attachments.
    pub media: String,
}

impl BaseUrls {
    /// The absolute URL of a path of the API.
    #[must_use]
    pub fn api(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }
}
