//! `/restapi/oauth/authorize` and the pages behind it: sign in, allow or refuse, back to the app.
//!
//! A wrong client or redirect URI is answered on the spot and never redirected; every other error goes back to the app.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::clock::{MINUTE, Millis, SECOND};
use crate::error::OauthError;
use crate::oauth::sessions::{CODE_LIFE, Code};
use crate::oauth::token::may_log_in;
use crate::oauth::{Params, random_id, secret};
use crate::sim::Sim;
use crate::state::{App, World};

/// A login page left open is good for so long.
const TICKET_LIFE: Millis = 10 * MINUTE;
/// Brands whose login runs in an environment of its own: AT&T and Verizon.
const SEGREGATED_BRANDS: [&str; 2] = ["3420", "2210"];

/// An authorize request that passed the checks and waits for the user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ticket {
    /// The app.
    pub client_id: String,
    /// Where the browser goes afterwards.
    pub redirect_uri: String,
    /// Echoed on the way back.
    pub state: Option<String>,
    /// PKCE: challenge and method.
    pub challenge: Option<(String, String)>,
    /// The scope asked for.
    pub scope: Option<String>,
    /// Fills the user name field.
    pub login_hint: Option<String>,
    /// The brand whose page is shown.
    pub brand_id: Option<String>,
    /// Who signed in.
    pub user: Option<i64>,
    /// When the page ends.
    pub expires_at: Millis,
}

/// Why an authorize request goes no further.
pub enum Refusal {
    /// Answered here.
    Direct(OauthError),
    /// Sent back to the app.
    Redirect(String),
}

/// Checks an authorize request.
pub fn check(world: &World, now: Millis, params: &Params) -> Result<Ticket, Refusal> {
    let direct = |error, code, text: &str| Refusal::Direct(OauthError::new(error, code, text));
    let client_id = params.need("client_id").map_err(Refusal::Direct)?;
    let app = world.app(client_id).ok_or_else(|| direct("invalid_client", "OAU-153", "Invalid client"))?;
    let redirect_uri = match (params.get("redirect_uri"), app.redirect_uris.as_slice()) {
        (None, [only]) => only.clone(),
        (Some(given), known) if known.iter().any(|uri| uri == given) => given.to_owned(),
        _ => {
            return Err(direct(
                "invalid_client",
                "OAU-113",
                "The redirect URI is not one of the registered URIs",
            ));
        }
    };
    let state = params.get("state").map(str::to_owned);
    let back =
        |error: &str, text: &str| Refusal::Redirect(failure(&redirect_uri, state.as_deref(), error, text));
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(back("unsupported_response_type", "Response type is not supported")),
        None => return Err(back("invalid_request", "Parameter [response_type] is missing")),
    }
    let challenge = match (params.get("code_challenge"), params.get("code_challenge_method")) {
        (None, None) => None,
        (None, Some(_)) => return Err(back("invalid_request", "Parameter [code_challenge] is missing")),
        (Some(challenge), method) => {
            let method = method.unwrap_or("plain");
            if !["plain", "S256"].contains(&method) {
                return Err(back("invalid_request", "Parameter [code_challenge_method] value is invalid"));
            }
            Some((challenge.to_owned(), method.to_owned()))
        }
    };
    if let Some(prompt) = params.get("prompt") {
        let words: Vec<&str> = prompt.split_whitespace().collect();
        if words.iter().any(|w| !["login", "sso", "consent", "none"].contains(w)) {
            return Err(back("invalid_request", "Parameter [prompt] value is invalid"));
        }
        if words.contains(&"none") {
            let text = if words.len() > 1 { "none can not be combined" } else { "The user is not signed in" };
            return Err(back(if words.len() > 1 { "invalid_request" } else { "access_denied" }, text));
        }
    }
    if let Some(display) = params.get("display")
        && !["page", "popup", "touch", "mobile"].contains(&display)
    {
        return Err(back("invalid_request", "Parameter [display] value is invalid"));
    }
    Ok(Ticket {
        client_id: app.client_id.clone(),
        redirect_uri,
        state,
        challenge,
        scope: params.get("scope").map(str::to_owned),
        login_hint: params.get("login_hint").map(str::to_owned),
        brand_id: params.get("brand_id").or_else(|| params.get("brandId")).map(str::to_owned),
        user: None,
        expires_at: now + TICKET_LIFE,
    })
}

/// Gives out a code and the URL that takes the browser back with it.
pub fn allow(world: &mut World, now: Millis, ticket: &Ticket, user: i64) -> String {
    let code = secret("SIMCODE");
    world.oauth.codes.insert(
        code.clone(),
        Code {
            client_id: ticket.client_id.clone(),
            extension_id: user,
            redirect_uri: ticket.redirect_uri.clone(),
            challenge: ticket.challenge.clone(),
            scope: ticket.scope.clone(),
            expires_at: now + CODE_LIFE,
            used: false,
        },
    );
    let mut pairs = vec![("code", code)];
    if let Some(state) = &ticket.state {
        pairs.push(("state", state.clone()));
    }
    pairs.push(("expires_in", (CODE_LIFE / SECOND).to_string()));
    with_query(&ticket.redirect_uri, &pairs)
}

/// The URL that takes the browser back with a refusal.
pub fn deny(ticket: &Ticket) -> String {
    failure(&ticket.redirect_uri, ticket.state.as_deref(), "access_denied", "Access is denied by the user")
}

fn failure(redirect_uri: &str, state: Option<&str>, error: &str, text: &str) -> String {
    let mut pairs = vec![("error", error.to_owned()), ("error_description", text.to_owned())];
    if let Some(state) = state {
        pairs.push(("state", state.to_owned()));
    }
    with_query(redirect_uri, &pairs)
}

fn with_query(uri: &str, pairs: &[(&str, String)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let joint = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{joint}{query}")
}

/// `GET` or `POST /restapi/oauth/authorize`: 302 to the login page.
pub async fn authorize(
    State(sim): State<Arc<Sim>>,
    method: Method,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let encoded = if method == Method::POST { body } else { Bytes::from(query.unwrap_or_default()) };
    let outcome = sim.world(|world, now| {
        world.forget_old_logins(now);
        let params = Params::parse(&encoded).map_err(Refusal::Direct)?;
        let ticket = check(world, now, &params)?;
        let elsewhere = world.settings.login_on_second_host
            || ticket.brand_id.as_deref().is_some_and(|b| SEGREGATED_BRANDS.contains(&b));
        let id = random_id("login");
        world.oauth.tickets.insert(id.clone(), ticket);
        Ok((id, elsewhere))
    });
    match outcome {
        Ok((id, elsewhere)) => {
            let host = if elsewhere { &sim.second_url } else { &sim.public_url };
            redirect(StatusCode::FOUND, &format!("{host}/login/{id}"))
        }
        Err(Refusal::Redirect(to)) => redirect(StatusCode::FOUND, &to),
        Err(Refusal::Direct(error)) => {
            let page =
                Failed { title: "This link can't be used", text: &error.description, code: error.code };
            show(StatusCode::BAD_REQUEST, &page)
        }
    }
}

/// `GET /login/{ticket}`: the login form, or the consent screen once the user is known.
pub async fn page(State(sim): State<Arc<Sim>>, Path(id): Path<String>) -> Response {
    sim.world(|world, now| match live(world, now, &id) {
        Some(ticket) if ticket.user.is_some() => consent_page(world, &ticket, &id),
        Some(ticket) => login_page(world, &ticket, &id, StatusCode::OK, ""),
        None => over(),
    })
}

/// What the forms of the two pages send.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    user: String,
    username: String,
    extension: String,
    password: String,
    decision: String,
}

/// `POST /login/{ticket}`: a sign-in, or the decision.
pub async fn answer(State(sim): State<Arc<Sim>>, Path(id): Path<String>, body: Bytes) -> Response {
    let answer: Answer = serde_urlencoded::from_bytes(&body).unwrap_or_default();
    sim.world(|world, now| {
        let Some(ticket) = live(world, now, &id) else {
            return over();
        };
        if answer.decision == "deny" {
            world.oauth.tickets.remove(&id);
            return redirect(StatusCode::SEE_OTHER, &deny(&ticket));
        }
        if let Some(user) = ticket.user
            && answer.decision == "allow"
        {
            world.oauth.tickets.remove(&id);
            let to = allow(world, now, &ticket, user);
            return redirect(StatusCode::SEE_OTHER, &to);
        }
        let user = if answer.user.is_empty() {
            world.user(&answer.username, Some(&answer.extension)).filter(|e| e.password == answer.password)
        } else {
            answer.user.parse().ok().and_then(|id: i64| world.extensions.get(&id))
        };
        let Some(user) = user else {
            let text = "This phone number, e-mail address or password is not right.";
            return login_page(world, &ticket, &id, StatusCode::UNAUTHORIZED, text);
        };
        if let Err(error) = may_log_in(user) {
            let text = error.description;
            return login_page(world, &ticket, &id, StatusCode::FORBIDDEN, &text);
        }
        let user = user.id;
        if let Some(ticket) = world.oauth.tickets.get_mut(&id) {
            ticket.user = Some(user);
        }
        redirect(StatusCode::SEE_OTHER, &format!("/login/{id}"))
    })
}

fn live(world: &World, now: Millis, id: &str) -> Option<Ticket> {
    world.oauth.tickets.get(id).filter(|t| now < t.expires_at).cloned()
}

fn app<'w>(world: &'w World, ticket: &Ticket) -> Option<&'w App> {
    world.app(&ticket.client_id)
}

fn login_page(world: &World, ticket: &Ticket, id: &str, status: StatusCode, problem: &str) -> Response {
    let users = world
        .extensions
        .values()
        .filter(|e| e.can_log_in())
        .map(|e| Choice {
            id: e.id,
            name: e.name(),
            detail: {
                let company = world.accounts.get(&e.account_id).map_or("", |a| a.name.as_str());
                let numbers: Vec<String> = world.sms_numbers_of(e).map(|n| n.phone_number.clone()).collect();
                let numbers =
                    if numbers.is_empty() { "no SMS number".to_owned() } else { numbers.join(", ") };
                format!("{company}, ext. {} · {numbers}", e.number)
            },
        })
        .collect();
    show(
        status,
        &Login {
            ticket: id,
            app: app(world, ticket).map_or("", |a| a.name.as_str()),
            hint: ticket.login_hint.as_deref().unwrap_or_default(),
            problem,
            users,
        },
    )
}

fn consent_page(world: &World, ticket: &Ticket, id: &str) -> Response {
    let user = ticket.user.and_then(|id| world.extensions.get(&id));
    let rights = world.settings.scopes.iter().map(|scope| Right { scope, meaning: meaning(scope) }).collect();
    show(
        StatusCode::OK,
        &Consent {
            ticket: id,
            app: app(world, ticket).map_or("", |a| a.name.as_str()),
            user: user.map(crate::state::Extension::name).unwrap_or_default(),
            company: user.and_then(|u| world.accounts.get(&u.account_id)).map_or("", |a| a.name.as_str()),
            rights,
        },
    )
}

fn meaning(scope: &str) -> &'static str {
    match scope {
        "ReadAccounts" => "See your name, your extension and your phone numbers",
        "SMS" => "Send text messages from your numbers",
        "ReadMessages" => "Read your messages",
        "EditMessages" => "Mark messages as read, and delete them",
        "SubscriptionWebhook" | "WebSocket" => "Be told when a message arrives",
        "A2PSMS" => "Send text messages in large numbers",
        _ => "Use this permission",
    }
}

fn over() -> Response {
    let page = Failed {
        title: "This page is no longer good",
        text: "The sign-in was finished or took too long. Please go back to the application and begin again.",
        code: "",
    };
    show(StatusCode::GONE, &page)
}

fn redirect(status: StatusCode, to: &str) -> Response {
    let mut response = status.into_response();
    match HeaderValue::from_str(to) {
        Ok(to) => {
            response.headers_mut().insert("location", to);
            response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
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
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.insert(
        "content-security-policy",
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        ),
    );
    response
}

struct Choice {
    id: i64,
    name: String,
    detail: String,
}

struct Right<'a> {
    scope: &'a str,
    meaning: &'static str,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    ticket: &'a str,
    app: &'a str,
    hint: &'a str,
    problem: &'a str,
    users: Vec<Choice>,
}

#[derive(Template)]
#[template(path = "consent.html")]
struct Consent<'a> {
    ticket: &'a str,
    app: &'a str,
    user: String,
    company: &'a str,
    rights: Vec<Right<'a>>,
}

#[derive(Template)]
#[template(path = "failed.html")]
struct Failed<'a> {
    title: &'a str,
    text: &'a str,
    code: &'a str,
}
