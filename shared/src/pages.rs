//! The pages that people see: rendered here, escaped by the template engine, without any script.
//!
//! A page is one answer: its policy allows nothing but its own style, by its hash, and the tab's icon, which is in the
//! page too. The page with the button may send its form on, over any chain of https hosts: browsers check every hop, and
//! single-sign-on hosts can't be listed (reliability rule 5).

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
use crate::connect::{Done, Refusal, Stop};
use crate::error::Error;
use crate::http::{self, Answer, RequestId};
use crate::model::connect_token::{ConnectToken, Link};

/// The style of all pages, without a build step.
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
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    style: &'static str,
    mark: Option<&'a str>,
    title: &'a str,
    meaning: &'a str,
    advice: &'a str,
    reference: Option<&'a str>,
}

/// The page with the button.
pub fn connect(config: &Config, token: &ConnectToken, link: &Link) -> Answer {
    let page = ConnectPage {
        style: STYLE,
        tenant: &link.tenant_name,
        label: link.label.as_deref(),
        token: token.expose(),
    };
    let mut response = html(StatusCode::OK, &page, &form_action(config))?;
    // With "no-referrer", Chromium would send "Origin: null" along with the form, and the press would be refused.
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

/// The page after success. A browser whose flow is forgotten by now sees it without the company's name and link.
pub fn connected(done: Option<&Done>) -> Answer {
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

/// The page for whatever stopped a browser.
pub fn stop(stop: Stop, request: &RequestId) -> Answer {
    match stop {
        Stop::Refused(refusal) => refused(&refusal),
        Stop::Failed(error) => failed(&error, request),
    }
}

/// The same for a program that asked with `format=json`.
pub fn stop_as_json(stop: Stop, request: &RequestId) -> Answer {
    match stop {
        Stop::Refused(refusal) => Ok(http::refusal(&refusal, request)),
        Stop::Failed(error) => Err(error),
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let http::catalogue::DescribedRefusal { status, code, .. } = http::catalogue::describe_refusal(refusal);
    let (title, meaning, advice) = words(refusal);
    // Of these two, the person may well be connected.
    let perhaps = matches!(refusal, Refusal::LinkUsed | Refusal::AlreadyHandled);
    let mark = (!perhaps).then_some("Not connected");
    let page = RefusalPage { style: STYLE, mark, title, meaning, advice, reference: Some(code) };
    let mut response = html(status, &page, "'none'")?;
    if let Refusal::Busy(wait) = refusal {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(http::whole_seconds(*wait)));
    }
    Ok(response)
}

fn failed(error: &Error, request: &RequestId) -> Answer {
    http::report(error, request);
    let (title, meaning, advice) = (
        "Something on our side does not answer",
        "It is not your fault, and you can try again.",
        "Wait a minute, then open your link again in this browser. If it says that a RingCentral user was connected, there is nothing left to do.",
    );
    let (status, wait) = match error {
        Error::Unavailable { retry_after, .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(*retry_after)),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    let page =
        RefusalPage { style: STYLE, mark: None, title, meaning, advice, reference: Some(request.as_str()) };
    let mut response = html(status, &page, "'none'")?;
    if let Some(wait) = wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(http::whole_seconds(wait)));
    }
    Ok(response)
}

/// A page that was written when this was built, with its style in it.
pub fn written(page: &'static str) -> Answer {
    let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>"));
    let hash = hash(style.map_or("", |(style, _)| style));
    with_policy(StatusCode::OK, page.to_owned(), &hash, "'none'")
}

fn html(status: StatusCode, page: &impl Template, form_action: &str) -> Answer {
    let text = page.render().map_err(|error| Error::internal("a page", error))?;
    with_policy(status, text, &STYLE_HASH, form_action)
}

fn with_policy(status: StatusCode, text: String, style_hash: &str, form_action: &str) -> Answer {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style_hash}'; img-src data:; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_str(&policy).map_err(|error| Error::internal("a page's policy", error))?,
    );
    Ok(response)
}

/// Title, meaning and advice of each refusal, in plain words.
fn words(refusal: &Refusal) -> (&'static str, &'static str, &'static str) {
    match refusal {
        Refusal::LinkMissing => (
            "This link is not complete",
            "The part of the link that says who sent it is missing.",
            "Open the link again from the message that you got, or copy all of it into the address bar.",
        ),
        Refusal::LinkUnknown => (
            "We don't know this link",
            "It may have been cut off or mistyped, or it is very old.",
            "Open the link again from the message that you got, or ask for a new one.",
        ),
        Refusal::LinkExpired => (
            "This link has expired",
            "For your safety, links work for a short time only.",
            "Ask the company that sent it for a new link, and open that one soon.",
        ),
        Refusal::LinkUsed => (
            "This link was already used",
            "A RingCentral user was connected with it. Each link connects one user, once.",
            "If that was you, there is nothing left to do. To connect another user, ask for a new link.",
        ),
        Refusal::LinkTaken => (
            "This link was already used in another browser",
            "Someone pressed its button in another browser, and since then it works only there.",
            "Go back to that browser. If it was not you, tell the company that sent the link, and ask for a new one.",
        ),
        Refusal::TenantUnavailable => (
            "This company's access is switched off",
            "The company that sent you the link can't use this service at present.",
            "Ask the company to get in touch with its provider, and try again afterwards.",
        ),
        Refusal::CrossSite => (
            "This did not come from our page",
            "For your safety, the button works only on its own page.",
            "Open the link from the message that you got, and press the button there.",
        ),
        Refusal::CallbackIncomplete => (
            "RingCentral sent you back without an answer",
            "Something is missing in the address that led here.",
            "Open your link again and press the button. Please don't copy this page's address.",
        ),
        Refusal::FlowUnknown => (
            "This sign-in does not belong to this browser",
            "It took longer than ten minutes, was begun in another browser, or cookies are switched off.",
            "Open your link again in this browser, press the button, and sign in without a long pause.",
        ),
        Refusal::AlreadyHandled => (
            "This sign-in was already handled",
            "Its page was opened a second time.",
            "If you saw the page that says \"Connected\", there is nothing left to do. If not, open your link again.",
        ),
        Refusal::Denied => (
            "You did not allow the access",
            "RingCentral told us that the access was denied, so nothing was connected.",
            "If you want to connect, open your link again, press the button, and choose to allow it. If RingCentral does not let you, ask your company's RingCentral administrator.",
        ),
        Refusal::ProviderError => (
            "RingCentral reported an error",
            "The sign-in ended at RingCentral with an error, so nothing was connected.",
            "Open your link again and press the button. If it happens again, tell the company that sent the link.",
        ),
        Refusal::CodeRefused => (
            "RingCentral did not accept the sign-in",
            "The confirmation that RingCentral gave your browser was too old, or not meant for this sign-in.",
            "Open your link again and press the button.",
        ),
        Refusal::ExchangeFailed => (
            "RingCentral did not answer",
            "Your sign-in could not be completed, so nothing was connected.",
            "Open your link again and press the button.",
        ),
        Refusal::Busy(_) => (
            "RingCentral is busy at the moment",
            "Nothing was connected, and nothing was lost.",
            "Wait a minute, then open your link again and press the button.",
        ),
        Refusal::Misconfigured => (
            "This service is not set up correctly",
            "The service's own registration at RingCentral lacks something. It is not your fault, and your sign-in was ended again.",
            "Tell the company that sent you the link. Its provider has been notified.",
        ),
        Refusal::ConnectedElsewhere => (
            "This RingCentral user is connected to another company",
            "One RingCentral user can be connected to one company at a time. The sign-in was ended again, and the other connection is as it was.",
            "Sign in as another RingCentral user, or end the other connection first and ask for a new link.",
        ),
    }
}

/// True if a form was sent by a page of ours: `Sec-Fetch-Site` decides if the browser sends it, else `Origin`.
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
    fn hostile_names_are_escaped() {
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
    fn the_style_cannot_end_its_element() {
        assert!(!STYLE.contains("</"));
    }
}
