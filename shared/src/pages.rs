//! The HTML pages. The template engine escapes all values, and no page runs a script.
//!
//! A page is a single response: its Content-Security-Policy allows only its inline style, by hash, and the icon, which is
//! inline too. The form of the confirmation page may be redirected through any https host: browsers check every redirect
//! against `form-action`, and the hosts of single sign-on cannot be listed (reliability rule 5).

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest;
use data_encoding::BASE64;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
};
use lambda_http::{Body, Request, Response};

use crate::config::{self, Config};
use crate::connect::{CompletedFlow, FlowError, FlowRejection};
use crate::error::Error;
use crate::http::{self, HandlerResult, RequestId};
use crate::model::connect_token::{ConnectToken, Link};

const STYLE: &str = include_str!("../templates/style.css");

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| hash(STYLE));

fn hash(style: &str) -> String {
    BASE64.encode(digest::digest(&digest::SHA256, style.as_bytes()).as_ref())
}

#[derive(Template)]
#[template(path = "connect.html")]
struct ConnectPage<'a> {
    style: &'static str,
    tenant: &'a str,
    label: Option<&'a str>,
    token: &'a str,
}

#[derive(Template)]
#[template(path = "connected.html")]
struct ConnectedPage<'a> {
    style: &'static str,
    tenant: Option<&'a str>,
    return_url: Option<&'a str>,
    return_host: &'a str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    style: &'static str,
    mark: Option<&'a str>,
    title: &'a str,
    meaning: &'a str,
    advice: &'a str,
    /// The stable code of the error, for programs.
    code: &'a str,
    /// The request id, by which the operator finds the cause in the log.
    reference: &'a str,
}

/// The confirmation page.
pub fn connect(config: &Config, token: &ConnectToken, link: &Link) -> HandlerResult {
    let page = ConnectPage {
        style: STYLE,
        tenant: &link.tenant_name,
        label: link.label.as_deref(),
        token: token.expose(),
    };
    let mut response = html(StatusCode::OK, &page, &form_action(config))?;
    // With "no-referrer", Chromium sends "Origin: null" with the form, and the same-origin check rejects it.
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

fn form_action(config: &Config) -> String {
    let simulator = url::Url::parse(&config.ringcentral_server).is_ok_and(|url| config::is_loopback(&url));
    if simulator && config.allows_loopback_http() {
        format!("'self' https: {}", config.ringcentral_server)
    } else {
        "'self' https:".to_owned()
    }
}

/// The success page. After the flow has expired, it has neither the company's name nor its link.
pub fn connected(done: Option<&CompletedFlow>) -> HandlerResult {
    let return_url = done.and_then(|done| done.return_url.as_deref());
    let host = return_url
        .and_then(|text| url::Url::parse(text).ok())
        .and_then(|url| url.host_str().map(str::to_owned));
    let page = ConnectedPage {
        style: STYLE,
        tenant: done.map(|done| done.tenant_name.as_str()),
        return_url,
        return_host: host.as_deref().unwrap_or("your company"),
    };
    html(StatusCode::OK, &page, "'none'")
}

/// The error page of a flow that stopped.
pub fn error(error: FlowError, request: &RequestId) -> HandlerResult {
    match error {
        FlowError::Rejected(refusal) => refused(&refusal, request),
        FlowError::Internal(error) => failed(&error, request),
    }
}

/// The error response to a request with `format=json`.
pub fn error_as_json(error: FlowError, request: &RequestId) -> HandlerResult {
    match error {
        FlowError::Rejected(refusal) => Ok(http::refusal(&refusal, request)),
        FlowError::Internal(error) => Err(error),
    }
}

fn refused(refusal: &FlowRejection, request: &RequestId) -> HandlerResult {
    let http::catalogue::RefusalEntry { status, code, .. } = http::catalogue::refusal_entry(refusal);
    let (title, meaning, advice) = refusal_text(refusal);
    // In these two cases the user may already be connected.
    let may_be_connected = matches!(refusal, FlowRejection::LinkUsed | FlowRejection::AlreadyHandled);
    let mark = (!may_be_connected).then_some("Not connected");
    let page = ErrorPage { style: STYLE, mark, title, meaning, advice, code, reference: request.as_str() };
    let mut response = html(status, &page, "'none'")?;
    http::set_error_code(&mut response, code);
    if let FlowRejection::Busy(wait) = refusal {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(http::whole_seconds(*wait)));
    }
    Ok(response)
}

fn failed(error: &Error, request: &RequestId) -> HandlerResult {
    http::report(error);
    let code = http::catalogue::entry(error).code;
    let (title, meaning, advice) = (
        "Something went wrong on our side",
        "This is not your fault, and you can try again.",
        "Wait a minute, then open your link again in this browser. If it says that a RingCentral user was connected, you are done.",
    );
    let (status, wait) = match error {
        Error::Unavailable { retry_after, .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(*retry_after)),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    let page =
        ErrorPage { style: STYLE, mark: None, title, meaning, advice, code, reference: request.as_str() };
    let mut response = html(status, &page, "'none'")?;
    http::set_error_code(&mut response, code);
    if let Some(wait) = wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(http::whole_seconds(wait)));
    }
    Ok(response)
}

/// A complete page with an inline style, embedded at build time.
pub fn embedded(page: &'static str) -> HandlerResult {
    let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>"));
    let hash = hash(style.map_or("", |(style, _)| style));
    with_policy(StatusCode::OK, page.to_owned(), &hash, "'none'")
}

fn html(status: StatusCode, page: &impl Template, form_action: &str) -> HandlerResult {
    let text = page.render().map_err(|error| Error::internal("page template", error))?;
    with_policy(status, text, &STYLE_HASH, form_action)
}

fn with_policy(status: StatusCode, text: String, style_hash: &str, form_action: &str) -> HandlerResult {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style_hash}'; img-src data:; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_str(&policy).map_err(|error| Error::internal("Content-Security-Policy", error))?,
    );
    Ok(response)
}

/// Title, meaning and advice of each refusal, for readers who are not technical.
fn refusal_text(refusal: &FlowRejection) -> (&'static str, &'static str, &'static str) {
    match refusal {
        FlowRejection::LinkMissing => (
            "This link is incomplete",
            "Part of the link is missing.",
            "Open the link again from the message you received, or copy the whole link into the address bar.",
        ),
        FlowRejection::LinkUnknown => (
            "This link is not valid",
            "It may be cut off, mistyped or very old.",
            "Open the link again from the message you received, or ask for a new one.",
        ),
        FlowRejection::LinkExpired => (
            "This link has expired",
            "For your security, links work only for a short time.",
            "Ask the company that sent it for a new link, and open the new link soon.",
        ),
        FlowRejection::LinkUsed => (
            "This link was already used",
            "A RingCentral user was connected with it. Each link connects one user.",
            "If that was you, you are done. To connect another user, ask for a new link.",
        ),
        FlowRejection::LinkBoundElsewhere => (
            "This link was already used in another browser",
            "Someone pressed its button in another browser. Since then, it works only there.",
            "Go back to that browser. If it was not you, tell the company that sent the link, and ask for a new one.",
        ),
        FlowRejection::LinkExhausted => (
            "This link was tried too often",
            "Signing in with it did not succeed, and a link can be tried only a few times.",
            "Ask the company that sent it for a new link.",
        ),
        FlowRejection::TenantUnavailable => (
            "This company cannot use the service at the moment",
            "The access of the company that sent you the link is suspended.",
            "Ask the company to contact its provider, and try again afterwards.",
        ),
        FlowRejection::CrossSite => (
            "This request did not come from our page",
            "For your security, the button works only on its own page.",
            "Open the link from the message you received, and press the button there.",
        ),
        FlowRejection::CallbackIncomplete => (
            "RingCentral's response is incomplete",
            "Part of the address that RingCentral sent you to is missing.",
            "Open your link again and press the button. Do not copy the address of this page.",
        ),
        FlowRejection::FlowUnknown => (
            "This sign-in does not belong to this browser",
            "It took longer than ten minutes, it was started in another browser, or cookies are turned off.",
            "Open your link again in this browser, press the button, and sign in within ten minutes.",
        ),
        FlowRejection::AlreadyHandled => (
            "This sign-in was already handled",
            "This page was opened a second time.",
            "If you saw the page that says \"Connected\", you are done. If not, open your link again.",
        ),
        FlowRejection::Denied => (
            "You did not allow access",
            "RingCentral reports that access was denied, so nothing was connected.",
            "To connect, open your link again, press the button, and choose to allow access. If RingCentral does not let you, ask your company's RingCentral administrator.",
        ),
        FlowRejection::ProviderError => (
            "RingCentral reported an error",
            "The sign-in ended with an error at RingCentral, so nothing was connected.",
            "Open your link again and press the button. If it happens again, tell the company that sent the link.",
        ),
        FlowRejection::CodeRejected => (
            "RingCentral did not accept the sign-in",
            "The confirmation from RingCentral was too old, or it belongs to another sign-in.",
            "Open your link again and press the button.",
        ),
        FlowRejection::ExchangeFailed => (
            "RingCentral did not respond",
            "Your sign-in could not be completed, so nothing was connected.",
            "Open your link again and press the button.",
        ),
        FlowRejection::Busy(_) => (
            "RingCentral is busy at the moment",
            "Nothing was connected.",
            "Wait a minute, then open your link again and press the button.",
        ),
        FlowRejection::Misconfigured => (
            "This service is not set up correctly",
            "Its registration at RingCentral is incomplete. This is not your fault. You have been signed out again.",
            "Tell the company that sent you the link. Its provider has been notified.",
        ),
        FlowRejection::ConnectedElsewhere => (
            "This RingCentral user is connected to another company",
            "A RingCentral user can be connected to one company at a time. You have been signed out again, and the existing connection has not changed.",
            "Sign in as another RingCentral user, or end the existing connection first and ask for a new link.",
        ),
    }
}

/// Whether one of the gateway's pages sent a form: by `Sec-Fetch-Site` if the browser sends it, otherwise by `Origin`.
pub fn is_same_origin(config: &Config, request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    match header("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => header("origin").is_some_and(|origin| origin == config.public_url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_html_are_escaped() {
        let page = ConnectPage {
            style: "",
            tenant: "<script>alert(1)</script>",
            label: Some("\"><img src=x>"),
            token: "\" autofocus onfocus=\"x",
        };
        let text = page.render().unwrap();
        assert!(!text.contains("<script") && !text.contains("<img") && !text.contains("\" autofocus"));
    }

    #[test]
    fn the_style_does_not_close_its_element() {
        assert!(!STYLE.contains("</"));
    }
}
