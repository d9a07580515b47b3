//! The readers of what RingCentral, or a proxy, sends: for the fuzz targets and the tests of their corpus. Each states
//! what must hold for any input.

use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

use crate::error_response::{error_from_response, request_id};
use crate::events::{self, BodyOwner, Event, Json, MessageChanges};
use crate::lenient::{self, FromFields};
use crate::message::Message;
use crate::numbers::{PhoneNumber, SmsConfiguration};
use crate::paging::{Page, Records};
use crate::rate_limit::RateLimit;
use crate::request::{ErrorFormat, Request, Response};
use crate::subscriptions::Subscription;
use crate::sync::SyncResult;
use crate::{oauth, time};

/// A page of the message list, or the response of a message sync. No record is lost.
pub fn page(body: &[u8]) {
    let _ = lenient::read_body::<SyncResult>(body);
    list::<Message>(body);
}

/// A page of phone numbers, or the registration of one.
pub fn numbers(body: &[u8]) {
    let _ = lenient::read_body::<SmsConfiguration>(body);
    list::<PhoneNumber>(body);
}

/// A subscription, or the list of them.
pub fn subscription(body: &[u8]) {
    let _ = lenient::read_body::<Subscription>(body);
    list::<Subscription>(body);
}

fn list<T: FromFields>(body: &[u8]) {
    let Ok(page) = lenient::read_body::<Page<T>>(body) else { return };
    let count = page.records.len() + page.records.unreadable().len();
    assert!(count > 0 || !page.has_next(), "a list ends");
    let _: &Records<T> = &page.records;
}

/// A message. What can be read once can be read again from what it keeps. Whatever it is, it hides no record beside it, as long as
/// its brackets match.
pub fn record(body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    let is_one = |list: &str| lenient::elements(list).is_some_and(|elements| elements == [text.trim()]);
    if text.starts_with('{') && is_one(&format!("[{text}]")) {
        let good = r#"{"id":1,"subject":"beside"}"#;
        let page = format!(r#"{{"records":[{good},{text},{good}]}}"#);
        let page: Page<Message> = lenient::read_record(&page).expect("a page");
        assert_eq!(page.records.len() + page.records.unreadable().len(), 3, "none is lost");
        let is_good = |message: &&Message| message.text.as_deref() == Some("beside");
        assert!(page.records.iter().filter(is_good).count() >= 2, "a neighbour is hidden");
    }
    let Ok(message) = lenient::read_body::<Message>(body) else { return };
    let again: Message = lenient::read_record(message.json()).expect("it was read before");
    assert_eq!((again.id, again.target_number()), (message.id, message.target_number()));
    assert!(message.media().count() <= message.attachments.len());
}

/// An event and its body.
pub fn event(body: &[u8]) {
    let _ = events::from_slice::<MessageChanges>(body);
    let Some(event) = events::from_slice::<Event<Json>>(body) else { return };
    let body = event.body.as_str().as_bytes();
    let _ = events::record_id(body);
    let _ = events::from_slice::<BodyOwner>(body).map(|owner| owner.extension_id());
    let _ = events::from_slice::<Message>(body);
}

/// A response of the token endpoint. `Debug` shows no token.
pub fn token_response(body: &[u8]) {
    let Some(tokens) = oauth::read_tokens(body, Timestamp::UNIX_EPOCH) else { return };
    let shown = format!("{tokens:?}");
    let token = tokens.access_token.expose();
    // Shorter ones may occur by chance.
    assert!(token.len() < 24 || !shown.contains(token), "the token is shown");
}

/// An error response: its first two bytes are the status and the endpoint, the rest is the body. The error contains no secret
/// of the request.
pub fn error_response(input: &[u8]) {
    let [status, format, body @ ..] = input else { return };
    let format = if format % 2 == 0 { ErrorFormat::Api } else { ErrorFormat::OAuth };
    let url = Url::parse("http://localhost/").expect("valid");
    let mut request = Request::new("fuzz", format, Method::POST, url);
    request.secrets = vec![SECRET];
    let response = Response {
        operation: "fuzz",
        status: 400 + u16::from(*status) % 200,
        headers: HeaderMap::new(),
        body: Zeroizing::new(body.to_vec()),
        rate_limit: None,
        request_id: None,
    };
    let error = error_from_response(&request, response);
    let shown = format!("{error} {error:?} {:?}", error.codes());
    assert!(!shown.contains(SECRET), "{shown}");
}

/// Occurs in the corpus as the secret of the request.
const SECRET: &str = "CANARY-secret";

/// Headers, one a line; and times in all spellings.
pub fn headers(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.insert(name, value);
        }
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(limit) = RateLimit::from_headers(&headers) {
        assert!(limit.group.len() <= 64);
    }
    if let Some(id) = request_id(&headers) {
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Some(value) = text("retry-after") {
        let _ = crate::retry_after(value, text("date"), Timestamp::UNIX_EPOCH);
    }
    let _ = time::parse(&String::from_utf8_lossy(input));
}
