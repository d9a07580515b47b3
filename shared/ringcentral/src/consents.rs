//! Consents: who has opted out of which of our numbers.

use std::fmt;

use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::api::{Api, Group};
use crate::error::{Error, ErrorCode, Result};
use crate::open_enum::open_enum;

/// The most changes in one call.
pub const MAX_CHANGES: usize = 1000;

open_enum!(
    /// Whether a recipient takes messages.
    OptStatus {
        /// Takes none.
        OptOut = "OptOut",
        /// Takes them.
        OptIn = "OptIn",
    }
);

open_enum!(
    /// Who said so.
    ConsentSource {
        /// The recipient, with a keyword such as STOP. Only the recipient can take it back.
        Recipient = "Recipient",
        /// A call of this API.
        Api = "Api",
        /// A provider on the way.
        Upstream = "Upstream",
        /// The carrier.
        Carrier = "Carrier",
    }
);

/// What a recipient said about one of our numbers. `Debug` shows no numbers.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// Our number; absent if it covers more than one.
    #[serde(default)]
    pub from: Option<String>,
    /// The recipient's number.
    pub to: String,
    /// Whether the recipient takes messages.
    pub opt_status: OptStatus,
    /// Who said so.
    #[serde(default)]
    pub source: Option<ConsentSource>,
    /// Since when.
    #[serde(default)]
    pub last_modified_time: Option<Timestamp>,
}

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consent(… {} by {:?})", self.opt_status, self.source)
    }
}

/// Which consents to find. Empty lists do not restrict.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsentQuery {
    /// Our numbers, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// Recipients' numbers, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Only of this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_status: Option<OptStatus>,
    /// How many for each call, at most 1,000; RingCentral's default is 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_page: Option<u32>,
}

impl fmt::Debug for ConsentQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsentQuery({} from, {} to, {:?})", self.from.len(), self.to.len(), self.opt_status)
    }
}

/// A consent to be recorded.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsentChange {
    /// Our number, or `*` for all of them.
    pub from: String,
    /// The recipient's number.
    pub to: String,
    /// What the recipient said.
    pub opt_status: OptStatus,
}

impl fmt::Debug for ConsentChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsentChange(… {})", self.opt_status)
    }
}

/// A change that was not made.
#[derive(Debug, Clone)]
pub struct FailedConsent {
    /// The consent as it would have been, if RingCentral tells.
    pub consent: Option<Consent>,
    /// Why not.
    pub error: ErrorCode,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Search<'a> {
    #[serde(flatten)]
    query: &'a ConsentQuery,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<&'a str>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    records: Vec<Consent>,
    #[serde(default)]
    paging: Tokens,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tokens {
    next_page_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    #[serde(flatten)]
    change: &'a ConsentChange,
    source: &'static str,
    coverage: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    #[serde(default, deserialize_with = "super::lenient::or_default")]
    failed_records: Vec<serde_json::Value>,
}

impl Api {
    /// The consents, as a stream that makes one call for each page when it gets there. App scope `SMS`; group
    /// Light.
    pub fn consents(&self, query: &ConsentQuery) -> impl Stream<Item = Result<Consent>> + Send + use<> {
        // What is left of the page, and the token of the next one: none, first, or the one answered.
        enum Next {
            Page(Option<String>),
            Over,
        }
        let (api, query) = (self.clone(), query.clone());
        stream::try_unfold((Vec::new().into_iter(), Next::Page(None)), move |(mut rest, mut next)| {
            let (api, query) = (api.clone(), query.clone());
            async move {
                loop {
                    if let Some(consent) = rest.next() {
                        return Ok(Some((consent, (rest, next))));
                    }
                    let Next::Page(token) = next else { return Ok(None) };
                    let found = api.search_consents(&query, token.as_deref()).await?;
                    rest = found.records.into_iter();
                    // The same token again would go round in circles.
                    let following = found.paging.next_page_token.filter(|next| Some(next) != token.as_ref());
                    next = following.map_or(Next::Over, |token| Next::Page(Some(token)));
                }
            }
        })
    }

    async fn search_consents(&self, query: &ConsentQuery, page_token: Option<&str>) -> Result<Found> {
        let path = "/restapi/v2/accounts/~/sms/consents/search";
        let call = self.call("consents", Group::Light, Method::POST, path);
        self.json(call.body(&Search { query, page_token })?).await
    }

    /// Records consents, at most 1,000, each for the pair of numbers. Answers those that were not recorded.
    /// App scope `SMS`; group Light.
    ///
    /// # Errors
    /// [`Kind::Refused`](super::Kind::Refused) for no change at all or too many.
    pub async fn update_consents(&self, changes: &[ConsentChange]) -> Result<Vec<FailedConsent>> {
        let operation = "update_consents";
        if changes.is_empty() || changes.len() > MAX_CHANGES {
            return Err(Error::refused(operation, "one to 1,000 consents are changed at a time"));
        }
        let records: Vec<Change<'_>> =
            changes.iter().map(|change| Change { change, source: "Api", coverage: "PhoneNumber" }).collect();
        let body = serde_json::json!({ "records": records });
        let path = "/restapi/v2/accounts/~/sms/consents";
        let call = self.call(operation, Group::Light, Method::PATCH, path).body(&body)?;
        let changed: Changed = self.json(call).await?;
        Ok(changed.failed_records.into_iter().map(failed).collect())
    }
}

fn failed(record: serde_json::Value) -> FailedConsent {
    let text = |name: &str| record["error"][name].as_str().unwrap_or_default().to_owned();
    let error = ErrorCode { code: text("errorCode"), message: text("message"), ..ErrorCode::default() };
    FailedConsent { error, consent: serde_json::from_value(record).ok() }
}
