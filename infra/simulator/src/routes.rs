//! Every endpoint, with its throttling group, the app's scope and the user's permission, as the reference lists them.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::caller::{Spec, guard};
use crate::error::ApiError;
use crate::limits::Group::{self, Auth, Heavy, Light, Medium};
use crate::oauth::{authorize, revoke, token, userinfo};
use crate::sim::Sim;
use crate::{account, consents, control, numbers, page, sms, store, subscriptions, sync};

struct Routes {
    sim: Arc<Sim>,
    router: Router<Arc<Sim>>,
}

impl Routes {
    /// An endpoint that needs a good token.
    fn guarded(
        mut self,
        path: &str,
        group: Group,
        scope: Option<&'static str>,
        permission: Option<&'static str>,
        handler: MethodRouter<Arc<Sim>>,
    ) -> Self {
        let state = (Arc::clone(&self.sim), Spec { group, scope, permission });
        self.router = self.router.route(path, handler.layer(from_fn_with_state(state, guard)));
        self
    }

    /// An endpoint for everybody.
    fn open(mut self, path: &str, handler: MethodRouter<Arc<Sim>>) -> Self {
        self.router = self.router.route(path, handler);
        self
    }
}

/// The router of everything.
pub fn router(sim: &Arc<Sim>) -> Router {
    let routes = Routes { sim: Arc::clone(sim), router: Router::new() };
    let routes = identity(oauth(routes));
    let routes = messages(subscription(routes));
    page::routes(control::routes(routes.router))
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "CMN-120", "Invalid URI").into_response() })
        .method_not_allowed_fallback(|| async {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "CMN-202", "Method is not supported")
                .into_response()
        })
        .with_state(Arc::clone(sim))
}

fn oauth(routes: Routes) -> Routes {
    routes
        .open("/restapi/oauth/authorize", get(authorize::authorize).post(authorize::authorize))
        .open("/login/{ticket}", get(authorize::page).post(authorize::answer))
        .open("/restapi/oauth/token", post(token::post))
        .open("/restapi/oauth/revoke", post(revoke::post))
        .open("/restapi/oauth/jwks", get(userinfo::jwks))
        .open("/.well-known/openid-configuration", get(userinfo::discovery))
        .open("/restapi/oauth/.well-known/openid-configuration", get(userinfo::discovery))
        .guarded("/restapi/oauth/userinfo", Auth, None, None, get(userinfo::get))
}

fn identity(routes: Routes) -> Routes {
    let accounts = Some("ReadAccounts");
    let company = Some("ReadCompanyPhoneNumbers");
    let extension = "/restapi/v1.0/account/{account}/extension/{extension}";
    routes
        .guarded(
            "/restapi/v1.0/account/{account}",
            Light,
            accounts,
            Some("ReadCompanyInfo"),
            get(account::account),
        )
        .guarded(extension, Light, accounts, Some("ReadExtensions"), get(account::extension))
        .guarded(
            &format!("{extension}/phone-number"),
            Light,
            accounts,
            Some("ReadUserPhoneNumbers"),
            get(numbers::of_extension),
        )
        .guarded(
            &format!("{extension}/phone-number/{{number}}/sms-configuration"),
            Light,
            accounts,
            None,
            get(numbers::sms_configuration),
        )
        .guarded(
            "/restapi/v1.0/account/{account}/phone-number",
            Heavy,
            accounts,
            company,
            get(numbers::of_account),
        )
        .guarded(
            "/restapi/v2/accounts/{account}/phone-numbers",
            Heavy,
            accounts,
            company,
            get(numbers::of_account_v2),
        )
}

fn subscription(routes: Routes) -> Routes {
    let all = "/restapi/v1.0/subscription";
    let one = "/restapi/v1.0/subscription/{id}";
    routes
        .guarded(all, Light, None, None, get(subscriptions::list))
        .guarded(all, Medium, None, None, post(subscriptions::create))
        .guarded(one, Light, None, None, get(subscriptions::read))
        .guarded(one, Medium, None, None, put(subscriptions::update))
        .guarded(one, Medium, None, None, delete(subscriptions::remove))
        .guarded(&format!("{one}/renew"), Light, None, None, post(subscriptions::renew))
}

fn messages(routes: Routes) -> Routes {
    let extension = "/restapi/v1.0/account/{account}/extension/{extension}";
    let all = &format!("{extension}/message-store");
    let one = &format!("{extension}/message-store/{{message}}");
    let (send, read, edit) = (Some("SMS"), Some("ReadMessages"), Some("EditMessages"));
    let consents = "/restapi/v2/accounts/{account}/sms/consents";
    routes
        .guarded(&format!("{extension}/sms"), Medium, send, Some("OutboundSMS"), post(sms::sms))
        .guarded(&format!("{extension}/mms"), Medium, send, Some("OutboundSMS"), post(sms::mms))
        .guarded(all, Light, read, read, get(store::list))
        .guarded(all, Medium, edit, edit, delete(store::remove_conversation))
        .guarded(one, Light, read, read, get(store::read))
        .guarded(one, Medium, edit, edit, put(store::mark).patch(store::mark).delete(store::remove))
        .guarded(&format!("{one}/content/{{attachment}}"), Medium, read, None, get(store::content))
        .guarded(&format!("{extension}/message-sync"), Light, read, read, get(sync::get))
        .guarded(consents, Light, send, None, get(consents::list))
        .guarded(consents, Light, send, None, patch(consents::update))
        .guarded(&format!("{consents}/search"), Light, send, None, post(consents::search))
        .guarded(&format!("{consents}/history"), Light, send, None, get(consents::history))
}
