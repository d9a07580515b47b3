//! Connecting RingCentral: links, the authorization flow in the browser, and connected extensions.

use serde_json::{Value, json};
use shared::model::app::Scope;
use shared::views::{ConnectionSummary, Extensions, NewLink, Numbers};

use crate::operation::{Body, Operation, Request};
use crate::routes;

const MANAGE: &[Scope] = &[Scope::RcManage];
const READ: &[Scope] = &[Scope::RcManage, Scope::SmsRead];

pub fn operations() -> Vec<Operation> {
    [links(), browser(), connected()].concat()
}

fn links() -> Vec<Operation> {
    let link = json!({ "connectUrl": "/v1/rc/connect?token=NyGku2lEBD-pZKx7" });
    vec![
        Operation::new("POST /v1/rc/connect-token", "create-connect-token", "Create a connect token")
            .more("The link works once, in one browser, for five minutes.")
            .scopes(MANAGE)
            .gives::<NewLink>(200, "The link, relative to the base URL of the API.", link.clone()),
        Operation::new(
            "POST /v1/rc/invite-token",
            "create-invite-token",
            "Create an invite token",
        )
        .more("An invite is a connect link for another RingCentral user. It works once, in one browser, for 30 minutes or for `expiresIn` seconds, at most seven days.")
        .scopes(MANAGE)
        .may_take::<routes::create_invite_token::CreateInviteTokenRequest>(
            json!({ "expiresIn": 86_400, "label": "Front desk", "returnUrl": "https://example.com/done" }),
        )
        .gives::<NewLink>(200, "The link, relative to the base URL of the API.", link),
    ]
}

fn browser() -> Vec<Operation> {
    let text = || json!({ "type": "string" });
    let token = "The token of the link.";
    vec![
        Operation::new("GET /v1/rc/connect", "show-connect-page", "Show the confirmation page")
            .more("Does not consume the token, because mail scanners open every link.")
            .asks("token", token, text())
            .answers(200, "An HTML page.", Body::Page),
        Operation::new("HEAD /v1/rc/connect", "show-connect-page", "Check a connect link")
            .asks("token", token, text())
            .answers(200, "The link is valid.", Body::Empty),
        form(
            Operation::new("POST /v1/rc/connect", "start-connection", "Start authorization")
                .more("Consumes the token and redirects the browser to RingCentral. Accepted only from a page of this origin. Afterwards the link works in this browser only.")
                .answers(303, "Redirects to RingCentral's authorization page and sets the cookie of the flow.", Body::Elsewhere),
        ),
        Operation::new("GET /v1/rc/callback", "finish-connection", "Finish authorization")
            .more("RingCentral redirects the browser here. Exchanges the code once, stores the tokens encrypted, and discovers the phone numbers.")
            .asks("code", "The authorization code.", text())
            .asks("state", "The state of the flow.", text())
            .asks("error", "The OAuth error, if RingCentral returns no code.", text())
            .asks("format", "`json` returns JSON instead of a redirect.", json!({ "type": "string", "enum": ["json"] }))
            .gives_ok("The extension is connected (`format=json`).")
            .answers(303, "Redirects to the success page.", Body::Elsewhere),
        Operation::new("GET /v1/rc/connected", "show-connected-page", "Show the success page").answers(
            200,
            "An HTML page.",
            Body::Page,
        ),
    ]
}

/// The form of the confirmation page.
fn form(mut operation: Operation) -> Operation {
    operation.request = Some(Request {
        media: "application/x-www-form-urlencoded",
        required: true,
        example: json!({ "token": "NyGku2lEBD-pZKx7" }),
        schema: |_| {
            schemars::json_schema!({
                "type": "object",
                "properties": { "token": { "type": "string", "description": "The token of the link." } },
                "required": ["token"],
            })
        },
        parse: |form| form["token"].as_str().map(drop).ok_or_else(|| "no token".to_owned()),
    });
    operation
}

fn connected() -> Vec<Operation> {
    vec![
        Operation::new("GET /v1/rc/status", "get-status", "Get the connection status")
            .scopes(READ)
            .gives::<ConnectionSummary>(
                200,
                "Whether an extension is connected. If so, the account of the extension that was connected first and the expiry of its access token.",
                json!({ "connected": true, "expiresAt": "2026-11-22T00:25:21.488Z", "rcAccountId": "500100" }),
            ),
        Operation::new("GET /v1/rc/extensions", "list-extensions", "List extensions")
            .scopes(READ)
            .gives::<Extensions<'_>>(200, "The extensions, in the order in which they were connected.", extensions()),
        Operation::new("DELETE /v1/rc/extensions/{extensionId}", "disconnect-extension", "Disconnect an extension")
            .scopes(MANAGE)
            .gives_ok("The extension is disconnected."),
        Operation::new("GET /v1/rc/numbers", "list-numbers", "List phone numbers")
            .scopes(READ)
            .gives::<Numbers<'_>>(200, "The SMS-capable numbers of connected extensions, then the other numbers of their accounts.", numbers()),
        Operation::new("POST /v1/rc/numbers/refresh", "refresh-numbers", "Refresh phone numbers")
            .scopes(MANAGE)
            .gives::<Numbers<'_>>(200, "The updated numbers.", numbers()),
        Operation::new("POST /v1/rc/disconnect", "disconnect-account", "Disconnect all extensions")
            .scopes(MANAGE)
            .gives_ok("All extensions are disconnected. Succeeds as well if none was connected."),
    ]
}

fn extensions() -> Value {
    json!({ "extensions": [{
        "extensionId": "62240010", "rcAccountId": "500100", "connectedAt": "2026-11-21T23:25:21.488Z",
        "status": "active", "cause": null, "statusSince": null, "nextAttemptAt": null, "name": "Front desk", "extensionNumber": "101", "numbers": ["+14155550100"],
        "lastError": null, "subscription": { "status": "Active", "expiresAt": "2026-11-28T23:25:22.031Z" },
        "setup": { "complete": true, "identity": "done", "numbers": "done", "subscription": "done" },
    }] })
}

fn numbers() -> Value {
    json!({ "numbers": [{
        "phoneNumber": "+14155550100", "extensionId": "62240010", "extensionName": "Front desk", "connected": true,
        "usageType": "DirectNumber", "label": null,
        "features": { "sms": true, "mms": true, "a2p": false, "international": false },
        "tenDlc": { "readiness": "ready" },
    }] })
}
