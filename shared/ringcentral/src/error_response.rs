//! Reads RingCentral's error responses: both formats of the body, and the headers.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorCode, ErrorDetails, ErrorKind, Grant, Retry, Sent};
use crate::lenient::{self, Fields, FromFields, RecordError, record};
use crate::request::{ErrorFormat, Request, Response};
use crate::retry_after::retry_after;

/// The penalty after a 429 without `Retry-After` (Developer Guide, "Rate limits").
const DEFAULT_PENALTY: Duration = Duration::from_secs(30);

/// The longest `Retry-After` that is followed.
const MAX_PENALTY: Duration = Duration::from_secs(24 * 3600);

/// Codes of the token endpoint that concern the app, not the user's grant (Developer Guide, "Errors").
const APP_CODES: [&str; 17] = [
    "OAU-112", "OAU-113", "OAU-116", "OAU-117", "OAU-120", "OAU-121", "OAU-123", "OAU-125", "OAU-127",
    "OAU-134", "OAU-146", "OAU-151", "OAU-153", "OAU-164", "OAU-165", "OAU-167", "OAU-347",
];

/// Codes that report an invalid access token, with any status.
const TOKEN_CODES: [&str; 9] = [
    "TokenInvalid",
    "TokenExpired",
    "OAU-128",
    "OAU-129",
    "OAU-149",
    "OAU-210",
    "OAU-211",
    "OAU-213",
    "AGW-402",
];

/// Words that RingCentral uses as the code of the top level, besides codes such as `CMN-101` (Developer Guide, "Errors").
const CODE_WORDS: [&str; 14] = [
    "FeatureNotAvailable",
    "InsufficientPermissions",
    "InternalError",
    "InvalidContent",
    "InvalidMultipartRequest",
    "InvalidParameter",
    "InvalidState",
    "MissingParameter",
    "ResourceNotFound",
    "ServiceUnavailable",
    "TokenExpired",
    "TokenInvalid",
    "UnsupportedMediaType",
    "UnsupportedMethod",
];

/// The values of `error` by which the token endpoint rejects a request (RFC 6749 section 5.2, and RingCentral's own). Not
/// `access_denied`: many proxies say that, and at this endpoint OAuth does not.
const OAUTH_ERRORS: [&str; 12] = [
    "expired_token",
    "insufficient_scope",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_request_uri",
    "invalid_scope",
    "invalid_token",
    "request_not_supported",
    "request_uri_not_supported",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// RingCentral's id of the request.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("rcrequestid")?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (!id.is_empty() && id.len() <= 128 && id.bytes().all(plain)).then(|| id.to_owned())
}

/// Converts a response with status 400 or above into an error.
pub(crate) fn error_from_response(request: &Request<'_>, response: Response) -> Error {
    let body = lenient::read_body::<ErrorBody>(&response.body).unwrap_or_default();
    let codes = codes(&body, &request.secrets);
    let is_known = |error: &&str| OAUTH_ERRORS.contains(error);
    let oauth_error = body.error.as_deref().map(str::trim).filter(is_known).map(str::to_owned);
    let has = |list: &[&str]| codes.iter().any(|known| list.contains(&known.code.as_str()));
    let status = response.status;

    // Without their code, the response is of a proxy, firewall or gateway in between.
    let is_judged = match request.error_format {
        ErrorFormat::OAuth => oauth_error.is_some() || has(&APP_CODES),
        ErrorFormat::Api => !codes.is_empty() || oauth_error.as_deref() == Some("invalid_token"),
    };

    let kind = match (status, request.error_format) {
        (429, _) => ErrorKind::RateLimited,
        (500.., _) => ErrorKind::Unavailable,
        _ if !is_judged => ErrorKind::Intermediary,
        (408, _) => ErrorKind::Unavailable,
        (_, ErrorFormat::OAuth) => oauth_kind(oauth_error.as_deref(), status, &has),
        (401, ErrorFormat::Api) => ErrorKind::AccessToken,
        (_, ErrorFormat::Api) if has(&TOKEN_CODES) => ErrorKind::AccessToken,
        (403, _) => ErrorKind::Forbidden,
        (404, _) => ErrorKind::NotFound,
        (400, _) if has(&["CMN-102"]) => ErrorKind::NotFound,
        _ => ErrorKind::Invalid,
    };
    let requested = requested_wait(&response.headers);
    let retry = match kind {
        ErrorKind::RateLimited => Retry::After(requested.unwrap_or(DEFAULT_PENALTY)),
        ErrorKind::Unavailable if status == 501 => Retry::Never,
        ErrorKind::Unavailable | ErrorKind::Intermediary => requested.map_or(Retry::Backoff, Retry::After),
        ErrorKind::AccessToken => Retry::WithNewToken,
        _ => Retry::Never,
    };
    ErrorDetails {
        operation: request.operation,
        kind,
        sent: Sent::Yes,
        retry,
        status: Some(status),
        codes,
        oauth_error,
        request_id: response.request_id,
        rate_limit: response.rate_limit,
        ..ErrorDetails::default()
    }
    .into()
}

/// Converts the `error` parameter of a redirect from the login page into an error.
pub(crate) fn error_from_redirect(operation: &'static str, error: &str) -> Error {
    let oauth_error = plain_word(Some(error), &[]);
    let kind = match oauth_error.as_deref() {
        Some("access_denied") => ErrorKind::Grant(Grant::Denied),
        other => oauth_kind(other, 400, &|_| false),
    };
    ErrorDetails { operation, kind, oauth_error, ..ErrorDetails::default() }.into()
}

fn oauth_kind(error: Option<&str>, status: u16, has: &impl Fn(&[&str]) -> bool) -> ErrorKind {
    match error {
        Some(
            "invalid_client"
            | "unauthorized_client"
            | "unsupported_grant_type"
            | "invalid_scope"
            | "unsupported_response_type"
            | "request_not_supported"
            | "request_uri_not_supported"
            | "invalid_request_uri"
            | "insufficient_scope",
        ) => return ErrorKind::AppConfiguration,
        Some("invalid_grant" | "expired_token") => {}
        _ if has(&APP_CODES) => return ErrorKind::AppConfiguration,
        _ if has(&["OAU-210", "OAU-108", "OAU-211", "OAU-213", "OAU-106"]) => {}
        _ if status == 401 => return ErrorKind::AppConfiguration,
        _ => return ErrorKind::Invalid,
    }
    ErrorKind::Grant(if error == Some("expired_token") || has(&["OAU-210", "OAU-108"]) {
        Grant::Expired
    } else if has(&["OAU-211"]) {
        Grant::Revoked
    } else if has(&["OAU-213", "OAU-106", "OAU-149", "OAU-129"]) {
        Grant::Unknown
    } else {
        Grant::Denied
    })
}

/// What is used of the body of an error.
#[derive(Default)]
struct ErrorBody {
    /// The `error` of OAuth.
    error: Option<String>,
    item: ErrorItem,
    errors: Vec<ErrorItem>,
}

impl FromFields for ErrorBody {
    fn from_fields(fields: &Fields<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            error: fields.lossy("error"),
            item: ErrorItem::from_fields(fields)?,
            errors: fields.lossy_list("errors"),
        })
    }
}

#[derive(Default)]
struct ErrorItem {
    code: Option<String>,
    message: Option<String>,
    parameter: Option<String>,
    parameters: Vec<ErrorParameter>,
    permission: Option<String>,
}

impl FromFields for ErrorItem {
    fn from_fields(fields: &Fields<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            code: fields.lossy("errorCode"),
            message: fields.lossy("message"),
            parameter: fields.lossy("parameterName"),
            parameters: fields.lossy_list("parameters"),
            permission: fields.lossy("permissionName"),
        })
    }
}

struct ErrorParameter {
    name: Option<String>,
}

record!(ErrorParameter { name: lossy "parameterName", });

/// A code of RingCentral: a known word, or letters and a number, such as `CMN-101` or `SMS-RC-413`. Proxies and other servers have
/// codes, too.
fn ringcentral_code(text: &str) -> Option<&str> {
    let text = text.trim();
    let is_part = |part: &str| {
        (2..=6).contains(&part.len())
            && part.starts_with(|first: char| first.is_ascii_uppercase())
            && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let is_number =
        |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_code = |(parts, number): (&str, &str)| is_number(number) && parts.split('-').take(4).all(is_part);
    let is_known =
        CODE_WORDS.contains(&text) || (text.len() <= 24 && text.rsplit_once('-').is_some_and(is_code));
    is_known.then_some(text)
}

/// The codes of both levels: those of `errors[]` first, then that of the top level, without duplicates.
fn codes(body: &ErrorBody, secrets: &[&str]) -> Vec<ErrorCode> {
    let mut codes: Vec<ErrorCode> = Vec::new();
    for item in body.errors.iter().take(32).chain(std::iter::once(&body.item)) {
        let Some(code) = item.code.as_deref().and_then(ringcentral_code) else { continue };
        if codes.iter().any(|known| known.code == code) {
            continue;
        }
        codes.push(ErrorCode {
            code: code.to_owned(),
            message: item.message.as_deref().map(|text| redacted(text, secrets)).unwrap_or_default(),
            parameter: plain_word(item.parameter.as_deref(), secrets).or_else(|| {
                let first = item.parameters.first()?;
                plain_word(first.name.as_deref(), secrets)
            }),
            permission: plain_word(item.permission.as_deref(), secrets),
        });
    }
    codes
}

/// A name: short, made of plain characters, and without any secret of the call.
fn plain_word(text: Option<&str>, secrets: &[&str]) -> Option<String> {
    let text = text.map(str::trim).filter(|text| !text.is_empty() && text.len() <= 64)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'[' | b']');
    let secret = secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret));
    (!secret && text.bytes().all(plain)).then(|| text.to_owned())
}

/// The text without the secrets of the call, at most 500 characters.
fn redacted(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "…");
    }
    text.chars().take(500).collect()
}

/// `Retry-After`, at most [`MAX_PENALTY`]. A date is relative to the `Date` of the same response.
fn requested_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let wait = retry_after(text(RETRY_AFTER)?, text(DATE), SystemClock::default().now())?;
    Some(wait.min(MAX_PENALTY))
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use reqwest::header::HeaderValue;
    use url::Url;
    use zeroize::Zeroizing;

    use super::*;

    fn rejected(
        error_format: ErrorFormat,
        status: u16,
        body: &str,
        headers: &[(&'static str, &str)],
    ) -> Error {
        let url = Url::parse("http://localhost/").expect("valid");
        let mut request = Request::new("test", error_format, Method::POST, url);
        request.secrets = vec!["CANARY-token"];
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (name.parse().expect("a header name"), HeaderValue::from_str(value).expect("a value"))
            })
            .collect();
        let response = Response {
            operation: "test",
            status,
            request_id: request_id(&headers),
            rate_limit: None,
            headers,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        error_from_response(&request, response)
    }

    #[test]
    fn oauth_errors_are_classified_by_their_codes() {
        let body = |error: &str, code: &str| {
            format!(
                r#"{{"error":"{error}","error_description":"no","errors":[{{"errorCode":"{code}","message":"no"}}]}}"#
            )
        };
        for (status, error, code, kind) in [
            (400, "invalid_grant", "OAU-210", ErrorKind::Grant(Grant::Expired)),
            (400, "invalid_grant", "OAU-108", ErrorKind::Grant(Grant::Expired)),
            (400, "expired_token", "OAU-1", ErrorKind::Grant(Grant::Expired)),
            (400, "invalid_grant", "OAU-211", ErrorKind::Grant(Grant::Revoked)),
            (400, "invalid_grant", "OAU-213", ErrorKind::Grant(Grant::Unknown)),
            (400, "invalid_grant", "OAU-106", ErrorKind::Grant(Grant::Unknown)),
            (400, "invalid_grant", "OAU-109", ErrorKind::Grant(Grant::Denied)),
            (400, "invalid_grant", "OAU-140", ErrorKind::Grant(Grant::Denied)),
            (400, "invalid_client", "OAU-153", ErrorKind::AppConfiguration),
            (400, "invalid_client", "OAU-113", ErrorKind::AppConfiguration),
            (403, "invalid_client", "OAU-167", ErrorKind::AppConfiguration),
            (400, "unauthorized_client", "OAU-125", ErrorKind::AppConfiguration),
            (401, "", "OAU-146", ErrorKind::AppConfiguration),
            (400, "invalid_request", "CMN-101", ErrorKind::Invalid),
        ] {
            let error = rejected(ErrorFormat::OAuth, status, &body(error, code), &[]);
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.retry(), Retry::Never, "{code}");
            assert_eq!(error.code(), Some(code));
        }
    }

    #[test]
    fn api_errors_are_classified_by_status_and_by_the_codes_of_both_levels() {
        let error = rejected(
            ErrorFormat::Api,
            403,
            r#"{"errorCode":"FeatureNotAvailable","message":"m","errors":[{"errorCode":"MSG-304","message":"m"}]}"#,
            &[("rcrequestid", "abc-123")],
        );
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert_eq!(
            error.codes().iter().map(|code| code.code.as_str()).collect::<Vec<_>>(),
            ["MSG-304", "FeatureNotAvailable"]
        );
        assert_eq!(error.request_id(), Some("abc-123"));

        let same_twice =
            r#"{"errorCode":"SUB-521","message":"m","errors":[{"errorCode":"SUB-521","message":"m"}]}"#;
        assert_eq!(rejected(ErrorFormat::Api, 400, same_twice, &[]).codes().len(), 1);
        let permission = r#"{"errorCode":"InsufficientPermissions","errors":[{"errorCode":"CMN-401","permissionName":"SMS"}]}"#;
        assert_eq!(
            rejected(ErrorFormat::Api, 403, permission, &[]).codes()[0].permission.as_deref(),
            Some("SMS")
        );
        for (status, body, kind) in [
            (401, r#"{"errorCode":"TokenExpired"}"#, ErrorKind::AccessToken),
            (401, r#"{"error":"invalid_token"}"#, ErrorKind::AccessToken),
            (400, r#"{"errorCode":"TokenInvalid"}"#, ErrorKind::AccessToken),
            (404, r#"{"errorCode":"CMN-102"}"#, ErrorKind::NotFound),
            (400, r#"{"errorCode":"CMN-102"}"#, ErrorKind::NotFound),
            (415, r#"{"errorCode":"MSG-348"}"#, ErrorKind::Invalid),
            (500, "<html>", ErrorKind::Unavailable),
            (408, r#"{"errorCode":"CMN-211"}"#, ErrorKind::Unavailable),
        ] {
            assert_eq!(rejected(ErrorFormat::Api, status, body, &[]).kind(), kind, "{status}");
        }
    }

    /// Bodies without an error code of RingCentral.
    const FOREIGN_BODIES: [&str; 18] = [
        "",
        "<h1>403 ERROR</h1>Request blocked.",
        r#"{"message":"Forbidden"}"#,
        r#"{"error":{"code":403}}"#,
        r#"{"errorCode":403,"errors":[{"errorCode":null}]}"#,
        r#"{"errorCode":"","errors":{}}"#,
        r#"{"errorCode":"AccessDenied","message":"Access Denied"}"#,
        r#"{"errorCode":"ERR_ACCESS_DENIED"}"#,
        r#"{"errorCode":"E0000011"}"#,
        r#"{"errorCode":"http-403"}"#,
        r#"{"errorCode":"Message to +16505550111 was blocked"}"#,
        r#"{"errors":[{"errorCode":"Forbidden","message":"no"}]}"#,
        r#"{"error":"Forbidden","message":"no"}"#,
        r#"{"error":"access_denied"}"#,
        r#"{"error":"not_authorized","errors":[{"code":"CMN-101"}]}"#,
        "[]",
        r#""denied""#,
        "null",
    ];

    #[test]
    fn a_4xx_without_a_code_of_ringcentral_is_the_response_of_an_intermediary() {
        for body in FOREIGN_BODIES {
            for status in (400..500).filter(|status| *status != 429) {
                for format in [ErrorFormat::Api, ErrorFormat::OAuth] {
                    let error = rejected(format, status, body, &[]);
                    assert_eq!(error.kind(), ErrorKind::Intermediary, "{status} {body}");
                    assert_eq!(error.retry(), Retry::Backoff, "{status} {body}");
                    assert!(!error.is_ambiguous(), "{status} {body}");
                }
            }
            assert_eq!(rejected(ErrorFormat::Api, 429, body, &[]).kind(), ErrorKind::RateLimited);
            assert!(rejected(ErrorFormat::Api, 502, body, &[]).is_ambiguous());
        }
        // A denial at the token endpoint needs the `error` of OAuth.
        let code = r#"{"errorCode":"OAU-213","errors":[{"errorCode":"OAU-213"}]}"#;
        assert_eq!(rejected(ErrorFormat::OAuth, 400, code, &[]).kind(), ErrorKind::Intermediary);
    }

    #[test]
    fn a_code_has_the_form_of_ringcentrals_codes() {
        for code in [
            "CMN-101",
            "MSG-333",
            "OAU-1",
            "AGW-402",
            "SMS-RC-413",
            "A2P-100",
            "InvalidParameter",
            " SUB-521 ",
        ] {
            assert_eq!(ringcentral_code(code), Some(code.trim()), "{code}");
        }
        for other in [
            "",
            "-",
            "403",
            "CMN",
            "CMN-",
            "-101",
            "cmn-101",
            "CMN-10a",
            "CMN-12345",
            "C-101",
            "CMN 101",
            "é-1",
        ] {
            assert_eq!(ringcentral_code(other), None, "{other}");
        }
        assert_eq!(ringcentral_code(&format!("{}7", "AB-".repeat(20))), None);
        // Beside one, other words are not kept: they may be parts of the message.
        let body = r#"{"errorCode":"Blocked","errors":[{"errorCode":"MSG-240","message":"m"}]}"#;
        let error = rejected(ErrorFormat::Api, 400, body, &[]);
        assert_eq!(error.codes().iter().map(|code| code.code.as_str()).collect::<Vec<_>>(), ["MSG-240"]);
    }

    #[test]
    fn odd_fields_do_not_hide_a_code() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in [
            "\u{feff}{\"errorCode\":\"MSG-240\"}".to_owned(),
            r#"{"errorCode":"MSG-240","message":"cut \ud83d"}"#.to_owned(),
            "{\"errorCode\":\"MSG-240\",\"message\":\"two\nlines\"}".to_owned(),
            r#"{"errorCode":"MSG-240","unused":1e999}"#.to_owned(),
            r#"{'errorCode':'MSG-240',"unused":NaN,}"#.to_owned(),
            format!(r#"{{"errorCode":"MSG-240","unused":{deep}}}"#),
            r#"{"errors":{"errorCode":"MSG-240"}}"#.to_owned(),
            r#"{"errors":[7,{"errorCode":" MSG-240 "}]}"#.to_owned(),
        ] {
            let error = rejected(ErrorFormat::Api, 400, &body, &[]);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{}", &body[..40.min(body.len())]);
            assert!(error.codes().iter().any(|known| known.code == "MSG-240"));
        }
        let denied = "\u{feff}{\"error\":\"invalid_grant\",\"unused\":1e999}";
        assert!(matches!(rejected(ErrorFormat::OAuth, 400, denied, &[]).kind(), ErrorKind::Grant(_)));
    }

    #[test]
    fn the_retry_time_follows_retry_after_and_defaults_to_30_seconds() {
        let wait = |status, headers: &[(&'static str, &str)]| {
            rejected(ErrorFormat::Api, status, "{}", headers).retry()
        };
        let seconds = |seconds| Retry::After(Duration::from_secs(seconds));
        assert_eq!(wait(429, &[]), seconds(30));
        assert_eq!(wait(429, &[("retry-after", "61")]), seconds(61));
        assert_eq!(wait(503, &[("retry-after", "7")]), seconds(7));
        assert_eq!(wait(503, &[]), Retry::Backoff);
        assert_eq!(wait(501, &[]), Retry::Never);
        let dates =
            [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")];
        assert_eq!(wait(429, &dates), seconds(60));
        assert_eq!(wait(429, &[("retry-after", "999999999999999999999")]), seconds(24 * 3_600));
    }

    #[test]
    fn secrets_of_the_call_are_removed_from_the_error() {
        let body = r#"{"errorCode":"CANARY-token","message":"CANARY-token is bad","error":"CANARY-token",
            "errors":[{"errorCode":"OAU-213","message":"Token CANARY-token not found","parameterValue":"CANARY-token"}]}"#;
        let error = rejected(ErrorFormat::OAuth, 400, body, &[]);
        assert_eq!(error.codes()[0].message, "Token … not found");
        let shown = format!("{error} {error:?} {:?}", error.codes()[0].message);
        assert!(!shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn whether_an_error_is_ambiguous_depends_on_the_status() {
        for (status, ambiguous) in [
            (400, false),
            (401, false),
            (429, false),
            (500, true),
            (501, false),
            (502, true),
            (503, true),
            (504, true),
            (520, true),
        ] {
            assert_eq!(rejected(ErrorFormat::Api, status, "", &[]).is_ambiguous(), ambiguous, "{status}");
        }
        assert!(rejected(ErrorFormat::Api, 408, r#"{"errorCode":"CMN-211"}"#, &[]).is_ambiguous());
        let later = r#"{"errorCode":"MSG-290","errors":[{"errorCode":"MSG-290"}]}"#;
        assert!(!rejected(ErrorFormat::Api, 503, later, &[]).is_ambiguous());
        assert!(!rejected(ErrorFormat::Api, 503, "", &[("retry-after", "7")]).is_ambiguous());
    }
}
