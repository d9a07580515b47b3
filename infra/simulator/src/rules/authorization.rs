//! Authorize requests and the redirects that end them.

use crate::platform::clock::{MINUTE, Millis, SECOND};
use crate::platform::errors::OauthError;
use crate::platform::sessions::{AuthorizationCode, ChallengeMethod, CodeChallenge, LoginTicket};
use crate::platform::state::PlatformState;
use crate::platform::variants::parse_variant;
use crate::rules::parameters::OauthParameters;
use crate::rules::secrets::random_secret;

/// How long a login page stays valid.
const TICKET_LIFETIME: Millis = 10 * MINUTE;
const CODE_LIFETIME: Millis = 60 * SECOND;
/// Brands with a separate login environment: AT&T and Verizon.
const SEGREGATED_BRANDS: [&str; 2] = ["3420", "2210"];

/// Why an authorize request is refused.
#[derive(Debug)]
pub enum AuthorizeRefusal {
    /// Shown to the user: redirecting to an unverified URI would be unsafe.
    ShowError(OauthError),
    /// The browser returns to the app, to this URL with an error.
    Redirect(String),
}

/// Checks an authorize request.
pub fn check_authorize_request(
    state: &PlatformState,
    now: Millis,
    parameters: &OauthParameters,
) -> Result<LoginTicket, AuthorizeRefusal> {
    let show = |code, text: &str| AuthorizeRefusal::ShowError(OauthError::new("invalid_client", code, text));
    let client_id = parameters.require("client_id").map_err(AuthorizeRefusal::ShowError)?;
    let app = state.app(client_id).ok_or_else(|| show("OAU-153", "Invalid client"))?;
    let redirect_uri = match (parameters.get("redirect_uri"), app.redirect_uris.as_slice()) {
        (None, [only]) => only.clone(),
        (Some(given), known) if known.iter().any(|uri| uri == given) => given.to_owned(),
        _ => return Err(show("OAU-113", "The redirect URI is not one of the registered URIs")),
    };
    let app_state = parameters.get("state");
    let redirect = |error: &str, text: &str| {
        AuthorizeRefusal::Redirect(error_redirect(&redirect_uri, app_state, error, text))
    };
    let invalid = |text: &str| redirect("invalid_request", text);
    match parameters.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(redirect("unsupported_response_type", "Response type is not supported")),
        None => return Err(invalid("Parameter [response_type] is missing")),
    }
    let challenge = match (parameters.get("code_challenge"), parameters.get("code_challenge_method")) {
        (None, None) => None,
        (None, Some(_)) => return Err(invalid("Parameter [code_challenge] is missing")),
        (Some(challenge), method) => {
            let method = method.map_or(Some(ChallengeMethod::Plain), parse_variant);
            let method =
                method.ok_or_else(|| invalid("Parameter [code_challenge_method] value is invalid"))?;
            Some(CodeChallenge { challenge: challenge.to_owned(), method })
        }
    };
    if let Some(prompt) = parameters.get("prompt") {
        let words: Vec<&str> = prompt.split_whitespace().collect();
        if words.iter().any(|w| !["login", "sso", "consent", "none"].contains(w)) {
            return Err(invalid("Parameter [prompt] value is invalid"));
        }
        if words == ["none"] {
            return Err(redirect("access_denied", "The user is not signed in"));
        }
        if words.contains(&"none") {
            return Err(invalid("none can not be combined"));
        }
    }
    if let Some(display) = parameters.get("display")
        && !["page", "popup", "touch", "mobile"].contains(&display)
    {
        return Err(invalid("Parameter [display] value is invalid"));
    }
    Ok(LoginTicket {
        client_id: app.client_id.clone(),
        redirect_uri,
        state: app_state.map(str::to_owned),
        challenge,
        scope: parameters.get("scope").map(str::to_owned),
        login_hint: parameters.get("login_hint").map(str::to_owned),
        brand_id: parameters.get("brand_id").or_else(|| parameters.get("brandId")).map(str::to_owned),
        user: None,
        expires_at: now + TICKET_LIFETIME,
    })
}

/// Whether the login page of a ticket is on the second host name.
#[must_use]
pub fn uses_second_host(state: &PlatformState, ticket: &LoginTicket) -> bool {
    state.settings.login_on_second_host
        || ticket.brand_id.as_deref().is_some_and(|b| SEGREGATED_BRANDS.contains(&b))
}

/// The user grants access: issues a code and returns the URL that carries it back to the app.
pub fn grant_access(state: &mut PlatformState, now: Millis, ticket: &LoginTicket, user: i64) -> String {
    let code = random_secret("SIMCODE");
    state.logins.codes.insert(
        code.clone(),
        AuthorizationCode {
            client_id: ticket.client_id.clone(),
            extension_id: user,
            redirect_uri: ticket.redirect_uri.clone(),
            challenge: ticket.challenge.clone(),
            scope: ticket.scope.clone(),
            expires_at: now + CODE_LIFETIME,
            used: false,
        },
    );
    let mut pairs = vec![("code", code)];
    if let Some(state) = &ticket.state {
        pairs.push(("state", state.clone()));
    }
    pairs.push(("expires_in", (CODE_LIFETIME / SECOND).to_string()));
    with_query(&ticket.redirect_uri, &pairs)
}

/// The user denies access: the URL that reports it to the app.
#[must_use]
pub fn deny_access(ticket: &LoginTicket) -> String {
    let text = "Access is denied by the user";
    error_redirect(&ticket.redirect_uri, ticket.state.as_deref(), "access_denied", text)
}

fn error_redirect(redirect_uri: &str, state: Option<&str>, error: &str, text: &str) -> String {
    let mut pairs = vec![("error", error.to_owned()), ("error_description", text.to_owned())];
    if let Some(state) = state {
        pairs.push(("state", state.to_owned()));
    }
    with_query(redirect_uri, &pairs)
}

fn with_query(uri: &str, pairs: &[(&str, String)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{query}")
}
