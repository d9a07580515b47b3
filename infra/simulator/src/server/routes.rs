//! All endpoints, with rate limit group, scope of the app and permission of the user.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Extension, Router};

use crate::platform::errors::RestError;
use crate::platform::rate_limits::RateLimitGroup::{self, Auth, Heavy, Light, Medium};
use crate::runtime::simulator_core::SimulatorCore;
use crate::server::guard::{AccessRule, guard};
use crate::server::injected_limit::{InjectedLimit, reply_to_injected_limit};
use crate::server::oauth::{authorize, discovery, revoke, token};
use crate::server::{
    accounts, consents, content, control, message_store, message_sync, numbers, page, sms, subscriptions,
};

const ACCOUNT: &str = "/restapi/v1.0/account/{account}";
const EXTENSION: &str = "/restapi/v1.0/account/{account}/extension/{extension}";

struct RouteBuilder {
    core: Arc<SimulatorCore>,
    router: Router<Arc<SimulatorCore>>,
}

impl RouteBuilder {
    /// Adds an endpoint that needs an access token.
    fn guarded(
        mut self,
        path: &str,
        group: RateLimitGroup,
        scope: Option<&'static str>,
        permission: Option<&'static str>,
        handler: MethodRouter<Arc<SimulatorCore>>,
    ) -> Self {
        let rule = (Arc::clone(&self.core), AccessRule { group, scope, permission });
        let injected = (Arc::clone(&self.core), Some(group));
        let handler = handler
            .layer(from_fn_with_state(rule, guard))
            .layer(from_fn_with_state(injected, reply_to_injected_limit));
        self.router = self.router.route(path, handler);
        self
    }

    /// Adds an endpoint without an access token. Endpoints with a group count their requests themselves.
    fn open(
        mut self,
        path: &str,
        group: Option<RateLimitGroup>,
        handler: MethodRouter<Arc<SimulatorCore>>,
    ) -> Self {
        let state = (Arc::clone(&self.core), group);
        self.router =
            self.router.route(path, handler.layer(from_fn_with_state(state, reply_to_injected_limit)));
        self
    }
}

pub fn router(core: &Arc<SimulatorCore>) -> Router {
    let routes = RouteBuilder { core: Arc::clone(core), router: Router::new() };
    let routes = identity_routes(oauth_routes(routes));
    let routes = message_routes(subscription_routes(routes));
    page::add_routes(control::routes::add_routes(routes.router))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // The pipeline and the endpoints have their own limits.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(core))
}

/// The other server that a redirect leads to.
pub fn storage_router(core: &Arc<SimulatorCore>) -> Router {
    Router::new()
        .route("/media-links/{key}", get(content::get_linked_content))
        .fallback(not_found)
        .with_state(Arc::clone(core))
}

async fn not_found(core: State<Arc<SimulatorCore>>, limit: Option<Extension<InjectedLimit>>) -> Response {
    let error = RestError::new(StatusCode::NOT_FOUND, "CMN-120", "Invalid URI");
    reply_without_group(&core, limit, error)
}

async fn method_not_allowed(
    core: State<Arc<SimulatorCore>>,
    limit: Option<Extension<InjectedLimit>>,
) -> Response {
    let error = RestError::new(StatusCode::METHOD_NOT_ALLOWED, "CMN-202", "Method is not supported");
    reply_without_group(&core, limit, error)
}

fn reply_without_group(
    core: &SimulatorCore,
    limit: Option<Extension<InjectedLimit>>,
    error: RestError,
) -> Response {
    match limit {
        Some(Extension(limit)) => limit.reply(core, None),
        None => error.into_response(),
    }
}

fn oauth_routes(routes: RouteBuilder) -> RouteBuilder {
    let auth = Some(Auth);
    let configuration = || get(discovery::get_openid_configuration);
    routes
        .open("/restapi/oauth/authorize", auth, get(authorize::start_login).post(authorize::start_login))
        .open("/login/{ticket}", None, get(authorize::show_page).post(authorize::submit_page))
        .open("/restapi/oauth/token", auth, post(token::post_token))
        .open("/restapi/oauth/revoke", auth, post(revoke::post_revoke))
        .open("/restapi/oauth/jwks", None, get(discovery::get_jwks))
        .open("/.well-known/openid-configuration", None, configuration())
        .open("/restapi/oauth/.well-known/openid-configuration", None, configuration())
        .guarded("/restapi/oauth/userinfo", Auth, None, None, get(discovery::get_userinfo))
}

fn identity_routes(routes: RouteBuilder) -> RouteBuilder {
    let accounts = Some("ReadAccounts");
    let extensions = Some("ReadExtensions");
    let user_numbers = Some("ReadUserPhoneNumbers");
    let company_numbers = Some("ReadCompanyPhoneNumbers");
    let numbers_v1 = format!("{ACCOUNT}/phone-number");
    let numbers_v2 = "/restapi/v2/accounts/{account}/phone-numbers";
    let own_numbers = format!("{EXTENSION}/phone-number");
    let configuration = format!("{own_numbers}/{{number}}/sms-configuration");
    let extension_list = format!("{ACCOUNT}/extension");
    routes
        .guarded(&extension_list, Medium, accounts, extensions, get(accounts::list_extensions))
        .guarded(ACCOUNT, Light, accounts, Some("ReadCompanyInfo"), get(accounts::get_account))
        .guarded(EXTENSION, Light, accounts, extensions, get(accounts::get_extension))
        .guarded(&own_numbers, Light, accounts, user_numbers, get(numbers::list_extension_numbers))
        .guarded(&configuration, Light, accounts, None, get(numbers::get_sms_configuration))
        .guarded(&numbers_v1, Heavy, accounts, company_numbers, get(numbers::list_account_numbers))
        .guarded(numbers_v2, Heavy, accounts, company_numbers, get(numbers::list_account_numbers_v2))
}

fn subscription_routes(routes: RouteBuilder) -> RouteBuilder {
    let all = "/restapi/v1.0/subscription";
    let one = "/restapi/v1.0/subscription/{id}";
    routes
        .guarded(all, Light, None, None, get(subscriptions::list_subscriptions))
        .guarded(all, Medium, None, None, post(subscriptions::create_subscription))
        .guarded(one, Light, None, None, get(subscriptions::get_subscription))
        .guarded(one, Medium, None, None, put(subscriptions::update_subscription))
        .guarded(one, Medium, None, None, delete(subscriptions::delete_subscription))
        .guarded(&format!("{one}/renew"), Light, None, None, post(subscriptions::renew_subscription))
}

fn message_routes(routes: RouteBuilder) -> RouteBuilder {
    let (sms_scope, outbound) = (Some("SMS"), Some("OutboundSMS"));
    let (read, edit) = (Some("ReadMessages"), Some("EditMessages"));
    let (sms, mms) = (format!("{EXTENSION}/sms"), format!("{EXTENSION}/mms"));
    let all = &format!("{EXTENSION}/message-store");
    let one = &format!("{all}/{{message}}");
    let content = format!("{one}/content/{{attachment}}");
    let sync = format!("{EXTENSION}/message-sync");
    let change = put(message_store::update_messages)
        .patch(message_store::update_messages)
        .delete(message_store::delete_messages);
    let consents = "/restapi/v2/accounts/{account}/sms/consents";
    let (search, history) = (format!("{consents}/search"), format!("{consents}/history"));
    let export = format!("{consents}/export");
    routes
        .guarded(&sms, Medium, sms_scope, outbound, post(sms::post_sms))
        .guarded(&mms, Medium, sms_scope, outbound, post(sms::post_mms))
        .guarded(all, Light, read, read, get(message_store::list_messages))
        .guarded(all, Medium, edit, edit, delete(message_store::delete_conversations))
        .guarded(one, Light, read, read, get(message_store::get_messages))
        .guarded(one, Medium, edit, edit, change)
        .guarded(&content, Medium, read, None, get(content::get_content))
        .guarded(&sync, Light, read, read, get(message_sync::get_message_sync))
        .guarded(consents, Light, sms_scope, None, get(consents::list_consents))
        .guarded(consents, Light, sms_scope, None, patch(consents::patch_consents))
        .guarded(&search, Light, sms_scope, None, post(consents::search_consents))
        .guarded(&export, Light, sms_scope, None, get(consents::get_consent_export))
        .guarded(&history, Light, sms_scope, None, get(consents::list_consent_history))
}
