//! Consents: which recipients have opted out of which numbers.

use std::fmt;

use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use reqwest::Method;
use serde::Serialize;

use crate::api::Api;
use crate::error::{Error, ErrorCode, Result};
use crate::lenient::{Fields, FromFields, RecordError, record};
use crate::open_enum::open_enum;
use crate::paging::Records;
use crate::rate_limit::UsageGroup;
use crate::scanner::Quotes;

/// The maximum number of changes in one call.
pub const MAX_CHANGES: usize = 1000;

open_enum!(
    /// Whether a recipient accepts messages.
    OptStatus {
        /// The recipient accepts no messages.
        OptOut = "OptOut",
        /// The recipient accepts messages.
        OptIn = "OptIn",
    }
);

open_enum!(
    /// Where a consent was recorded.
    ConsentSource {
        /// The recipient, by a keyword such as STOP. Only the recipient can revoke it.
        Recipient = "Recipient",
        /// An API call.
        Api = "Api",
        /// A provider between RingCentral and the carrier.
        Upstream = "Upstream",
        /// The carrier.
        Carrier = "Carrier",
    }
);

open_enum!(
    /// What a consent covers.
    ConsentCoverage {
        /// One sending number.
        PhoneNumber = "PhoneNumber",
        /// All numbers of the account.
        Account = "Account",
        /// Messages of one type of campaign.
        CampaignType = "CampaignType",
        /// A virtual sender.
        VirtualSender = "VirtualSender",
    }
);

/// The consent of a recipient to messages from a number. `Debug` omits the numbers.
#[derive(Clone)]
pub struct Consent {
    /// The sending number; `None` if the consent covers more than one.
    pub from: Option<String>,
    /// The recipient's number.
    pub to: String,
    /// Whether the recipient accepts messages.
    pub opt_status: OptStatus,
    /// Where it was recorded.
    pub source: Option<ConsentSource>,
    /// What it covers.
    pub coverage: Option<ConsentCoverage>,
    /// When it last changed.
    pub last_modified_time: Option<Timestamp>,
}

record!(Consent {
    from: optional "from",
    to: required "to",
    opt_status: required "optStatus",
    source: lossy "source",
    coverage: lossy "coverage",
    last_modified_time: lossy "lastModifiedTime",
});

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consent(… {} by {:?})", self.opt_status, self.source)
    }
}

/// A search for consents. Empty lists do not filter. `Debug` omits the numbers.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsentQuery {
    /// The sending numbers, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// The recipients' numbers, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Only consents with this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_status: Option<OptStatus>,
    /// The page size, at most 1,000. RingCentral's default is 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_page: Option<u32>,
}

impl fmt::Debug for ConsentQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsentQuery({} from, {} to, {:?})", self.from.len(), self.to.len(), self.opt_status)
    }
}

/// A consent to record. `Debug` omits the numbers.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsentChange {
    /// The sending number, or `*` for all numbers of the account.
    pub from: String,
    /// The recipient's number.
    pub to: String,
    /// Whether the recipient accepts messages.
    pub opt_status: OptStatus,
}

impl fmt::Debug for ConsentChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsentChange(… {})", self.opt_status)
    }
}

/// A consent that was not recorded.
#[derive(Debug, Clone)]
pub struct FailedConsent {
    /// The rejected consent, if RingCentral returns it.
    pub consent: Option<Consent>,
    /// Why it was rejected.
    pub error: ErrorCode,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SearchBody<'a> {
    #[serde(flatten)]
    query: &'a ConsentQuery,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<&'a str>,
}

/// A page of a search, or the body of an event about consents, which is complete.
#[derive(Debug, Clone)]
pub struct ConsentPage {
    /// The consents.
    pub records: Records<Consent>,
    /// The token of the next page; `None` on the last page.
    pub next_page_token: Option<String>,
}

impl FromFields for ConsentPage {
    const QUOTES: Quotes = Quotes::Unescaped;

    fn from_fields(fields: &Fields<'_>) -> std::result::Result<Self, RecordError> {
        let paging: Option<TokenPaging> = fields.lossy("paging");
        Ok(Self {
            records: Records::from_fields(fields)?,
            next_page_token: paging.and_then(|paging| paging.next_page_token),
        })
    }
}

struct TokenPaging {
    next_page_token: Option<String>,
}

record!(TokenPaging { next_page_token: lossy "nextPageToken", });

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeBody<'a> {
    #[serde(flatten)]
    change: &'a ConsentChange,
    source: &'static str,
    coverage: &'static str,
}

struct ChangeResponse {
    failed_records: Vec<FailedConsent>,
}

record!(ChangeResponse { failed_records: lossy_list "failedRecords", });

impl FromFields for FailedConsent {
    fn from_fields(fields: &Fields<'_>) -> std::result::Result<Self, RecordError> {
        let error: Option<ConsentError> = fields.lossy("error");
        let (code, message) = error.map(|error| (error.code, error.message)).unwrap_or_default();
        let error = ErrorCode {
            code: code.unwrap_or_default(),
            message: message.unwrap_or_default(),
            ..ErrorCode::default()
        };
        Ok(Self { error, consent: Consent::from_fields(fields).ok() })
    }
}

struct ConsentError {
    code: Option<String>,
    message: Option<String>,
}

record!(ConsentError { code: lossy "errorCode", message: lossy "message", });

impl Api {
    /// Returns the consents as a stream that makes one call per page as it is read. App scope `SMS`; group Light.
    pub fn consents(&self, query: &ConsentQuery) -> impl Stream<Item = Result<Consent>> + Send + use<> {
        enum Next {
            /// The page with this token; the first page has none.
            Page(Option<String>),
            End,
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
                    let page = api.consents_page(&query, token.as_deref()).await?;
                    rest = page.records.into_iter();
                    next = page.next_page_token.map_or(Next::End, |token| Next::Page(Some(token)));
                }
            }
        })
    }

    /// Returns one page of consents, the first one without a token. App scope `SMS`; group Light.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if RingCentral does not know the token.
    pub async fn consents_page(&self, query: &ConsentQuery, page_token: Option<&str>) -> Result<ConsentPage> {
        let path = "/restapi/v2/accounts/~/sms/consents/search";
        let call = self.call("consents", UsageGroup::Light, Method::POST, path);
        let page: ConsentPage = self.json(call.body(&SearchBody { query, page_token })?).await?;
        // A repeated token would never end a search.
        let next_page_token = page.next_page_token.filter(|next| Some(next.as_str()) != page_token);
        Ok(ConsentPage { next_page_token, ..page })
    }

    /// Records up to 1,000 consents, each for a pair of numbers. Returns those that were not recorded. App scope `SMS`;
    /// group Light.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) for no changes or too many.
    pub async fn update_consents(&self, changes: &[ConsentChange]) -> Result<Vec<FailedConsent>> {
        let operation = "update_consents";
        if changes.is_empty() || changes.len() > MAX_CHANGES {
            return Err(Error::refused(operation, "a call changes one to 1,000 consents"));
        }
        let records: Vec<ChangeBody<'_>> = changes
            .iter()
            .map(|change| ChangeBody { change, source: "Api", coverage: "PhoneNumber" })
            .collect();
        let body = serde_json::json!({ "records": records });
        let path = "/restapi/v2/accounts/~/sms/consents";
        let call = self.call(operation, UsageGroup::Light, Method::PATCH, path).body(&body)?;
        let response: ChangeResponse = self.json(call).await?;
        Ok(response.failed_records)
    }
}
