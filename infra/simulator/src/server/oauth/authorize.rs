//! `/restapi/oauth/authorize` and its pages: sign in, allow or deny, return to the app.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;

use crate::platform::accounts::ExtensionRecord;
use crate::platform::clock::Millis;
use crate::platform::sessions::LoginTicket;
use crate::platform::state::PlatformState;
use crate::rules::authorization::{
    AuthorizeRefusal, check_authorize_request, deny_access, grant_access, uses_second_host,
};
use crate::rules::grants::check_sign_in;
use crate::rules::parameters::OauthParameters;
use crate::rules::secrets::random_id;
use crate::runtime::simulator_core::SimulatorCore;

/// `GET` or `POST /restapi/oauth/authorize`: 302 to the login page, or with an error back to the app. An invalid client or
/// redirect URI gets an error page instead.
pub async fn start_login(
    State(core): State<Arc<SimulatorCore>>,
    method: Method,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let encoded = if method == Method::POST { body } else { Bytes::from(query.unwrap_or_default()) };
    let outcome = core.update(|state, now| {
        state.delete_old_logins(now);
        let parameters = OauthParameters::parse(&encoded).map_err(AuthorizeRefusal::ShowError)?;
        let ticket = check_authorize_request(state, now, &parameters)?;
        let host = if uses_second_host(state, &ticket) { &core.second_url } else { &core.public_url };
        let id = random_id("login");
        state.logins.tickets.insert(id.clone(), ticket);
        Ok(format!("{host}/login/{id}"))
    });
    match outcome {
        Ok(to) | Err(AuthorizeRefusal::Redirect(to)) => redirect(StatusCode::FOUND, &to),
        Err(AuthorizeRefusal::ShowError(error)) => {
            let page =
                ErrorPage { title: "This link can't be used", text: &error.description, code: error.code };
            show(StatusCode::BAD_REQUEST, &page)
        }
    }
}

/// `GET /login/{ticket}`: the login form, or the consent page after the user signed in.
pub async fn show_page(State(core): State<Arc<SimulatorCore>>, Path(id): Path<String>) -> Response {
    core.update(|state, now| match live_ticket(state, now, &id) {
        Some(ticket) if ticket.user.is_some() => consent_page(state, &ticket, &id),
        Some(ticket) => login_page(state, &ticket, &id, StatusCode::OK, ""),
        None => expired_page(),
    })
}

/// The fields of the forms on both pages.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoginForm {
    /// The extension id of a user chosen with one click.
    user: String,
    username: String,
    extension: String,
    password: String,
    /// `allow`, `deny`, or empty for a sign-in.
    decision: String,
}

/// `POST /login/{ticket}`: a sign-in, or the decision about the app's access.
pub async fn submit_page(
    State(core): State<Arc<SimulatorCore>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let form: LoginForm = serde_urlencoded::from_bytes(&body).unwrap_or_default();
    core.update(|state, now| {
        let Some(ticket) = live_ticket(state, now, &id) else {
            return expired_page();
        };
        if form.decision == "deny" {
            state.logins.tickets.remove(&id);
            return redirect(StatusCode::SEE_OTHER, &deny_access(&ticket));
        }
        if let Some(user) = ticket.user
            && form.decision == "allow"
        {
            state.logins.tickets.remove(&id);
            return redirect(StatusCode::SEE_OTHER, &grant_access(state, now, &ticket, user));
        }
        let user = if form.user.is_empty() {
            state.user(&form.username, Some(&form.extension)).filter(|e| e.password == form.password)
        } else {
            state.extension(&form.user)
        };
        let Some(user) = user else {
            let text = "The phone number, e-mail address or password is wrong.";
            return login_page(state, &ticket, &id, StatusCode::UNAUTHORIZED, text);
        };
        if let Err(error) = check_sign_in(user) {
            return login_page(state, &ticket, &id, StatusCode::FORBIDDEN, &error.description);
        }
        let user = user.id;
        if let Some(ticket) = state.logins.tickets.get_mut(&id) {
            ticket.user = Some(user);
        }
        redirect(StatusCode::SEE_OTHER, &format!("/login/{id}"))
    })
}

fn live_ticket(state: &PlatformState, now: Millis, id: &str) -> Option<LoginTicket> {
    state.logins.tickets.get(id).filter(|t| now < t.expires_at).cloned()
}

fn app_name<'s>(state: &'s PlatformState, ticket: &LoginTicket) -> &'s str {
    state.app(&ticket.client_id).map_or("", |app| app.name.as_str())
}

fn company_name<'s>(state: &'s PlatformState, user: &ExtensionRecord) -> &'s str {
    state.accounts.get(&user.account_id).map_or("", |account| account.name.as_str())
}

fn login_page(
    state: &PlatformState,
    ticket: &LoginTicket,
    id: &str,
    status: StatusCode,
    problem: &str,
) -> Response {
    let choice = |user: &ExtensionRecord| {
        let numbers: Vec<&str> = state.sms_numbers_of(user).map(|n| n.phone_number.as_str()).collect();
        let numbers = if numbers.is_empty() { "no SMS number".to_owned() } else { numbers.join(", ") };
        UserChoice {
            id: user.id,
            name: user.name(),
            detail: format!("{}, ext. {} · {numbers}", company_name(state, user), user.number),
        }
    };
    let page = LoginPage {
        ticket: id,
        app: app_name(state, ticket),
        hint: ticket.login_hint.as_deref().unwrap_or_default(),
        problem,
        users: state.extensions.values().filter(|e| e.can_sign_in()).map(choice).collect(),
    };
    show(status, &page)
}

fn consent_page(state: &PlatformState, ticket: &LoginTicket, id: &str) -> Response {
    let user = ticket.user.and_then(|id| state.extensions.get(&id));
    let scopes = state.settings.scopes.iter();
    let page = ConsentPage {
        ticket: id,
        app: app_name(state, ticket),
        user: user.map(ExtensionRecord::name).unwrap_or_default(),
        company: user.map_or("", |user| company_name(state, user)),
        scopes: scopes.map(|name| ScopeLine { name, meaning: scope_meaning(name) }).collect(),
    };
    show(StatusCode::OK, &page)
}

fn scope_meaning(scope: &str) -> &'static str {
    match scope {
        "ReadAccounts" => "See your name, your extension and your phone numbers",
        "SMS" => "Send text messages from your numbers",
        "ReadMessages" => "Read your messages",
        "EditMessages" => "Mark messages as read and delete them",
        "SubscriptionWebhook" | "WebSocket" => "Receive a notification when a message arrives",
        "A2PSMS" => "Send high-volume text messages",
        _ => "Use this permission",
    }
}

fn expired_page() -> Response {
    let page = ErrorPage {
        title: "This page has expired",
        text: "The sign-in is complete or took too long. Return to the application and start again.",
        code: "",
    };
    show(StatusCode::GONE, &page)
}

fn redirect(status: StatusCode, to: &str) -> Response {
    let mut response = status.into_response();
    match HeaderValue::from_str(to) {
        Ok(to) => {
            response.headers_mut().insert(header::LOCATION, to);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

fn show(status: StatusCode, page: &impl Template) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = (status, Html(html)).into_response();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// A user who can sign in with one click.
struct UserChoice {
    id: i64,
    name: String,
    detail: String,
}

struct ScopeLine<'a> {
    name: &'a str,
    meaning: &'static str,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    ticket: &'a str,
    app: &'a str,
    hint: &'a str,
    problem: &'a str,
    users: Vec<UserChoice>,
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    ticket: &'a str,
    app: &'a str,
    user: String,
    company: &'a str,
    scopes: Vec<ScopeLine<'a>>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    text: &'a str,
    code: &'a str,
}
