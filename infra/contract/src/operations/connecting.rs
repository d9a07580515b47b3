//! Connecting RingCentral: links, the browser's way, and what is connected.

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
        Operation::new("POST /v1/rc/connect-token", "create-connect-token", "Makes a connect link")
            .more("Good for five minutes, once, in one browser.")
            .scopes(MANAGE)
            .gives::<NewLink>(200, "The link, relative to the API's address.", link.clone()),
        Operation::new(
            "POST /v1/rc/invite-token",
            "create-invite-token",
            "Makes an invite for somebody else",
        )
        .more("Good for half an hour, or as long as is asked for, up to seven days; once, in one browser.")
        .scopes(MANAGE)
        .may_take::<routes::create_invite_token::CreateInviteTokenRequest>(
            json!({ "expiresIn": 86_400, "label": "Front desk", "returnUrl": "https://example.com/done" }),
        )
        .gives::<NewLink>(200, "The link, relative to the API's address.", link),
    ]
}

fn browser() -> Vec<Operation> {
    let text = || json!({ "type": "string" });
    let token = "What the link carries.";
    vec![
        Operation::new("GET /v1/rc/connect", "show-connect-page", "The page with the button")
            .more("Opening it changes nothing, however often: mail scanners open every link.")
            .asks("token", token, text())
            .answers(200, "The page.", Body::Page),
        Operation::new("HEAD /v1/rc/connect", "show-connect-page", "The same without the page")
            .asks("token", token, text())
            .answers(200, "The link can be used.", Body::Empty),
        form(
            Operation::new("POST /v1/rc/connect", "start-connection", "Presses the button")
                .more("From a page of this address only. From now on the link is this browser's alone.")
                .answers(303, "To RingCentral's sign-in, with the flow's cookie.", Body::Elsewhere),
        ),
        Operation::new("GET /v1/rc/callback", "finish-connection", "RingCentral sends the browser back")
            .more("The code is exchanged once, the tokens are stored sealed, and numbers are discovered.")
            .asks("code", "The code.", text())
            .asks("state", "What names the flow.", text())
            .asks("error", "Why RingCentral gave no code.", text())
            .asks("format", "`json` for a program.", json!({ "type": "string", "enum": ["json"] }))
            .gives_ok("Connected, to a program (`format=json`).")
            .answers(303, "To the page after success.", Body::Elsewhere),
        Operation::new("GET /v1/rc/connected", "show-connected-page", "The page after success").answers(
            200,
            "The page.",
            Body::Page,
        ),
    ]
}

/// The button's form.
fn form(mut operation: Operation) -> Operation {
    operation.request = Some(Request {
        media: "application/x-www-form-urlencoded",
        required: true,
        example: json!({ "token": "NyGku2lEBD-pZKx7" }),
        schema: |_| {
            schemars::json_schema!({
                "type": "object",
                "properties": { "token": { "type": "string", "description": "What the link carries." } },
                "required": ["token"],
            })
        },
        parse: |form| form["token"].as_str().map(drop).ok_or_else(|| "no token".to_owned()),
    });
    operation
}

fn connected() -> Vec<Operation> {
    vec![
        Operation::new("GET /v1/rc/status", "get-status", "Whether an extension can be used")
            .scopes(READ)
            .gives::<ConnectionSummary>(
                200,
                "Whether one is connected; of the one that was connected first, when its access token ends, and its account.",
                json!({ "connected": true, "expiresAt": "2026-11-22T00:25:21.488Z", "rcAccountId": "500100" }),
            ),
        Operation::new("GET /v1/rc/extensions", "list-extensions", "The connected extensions")
            .scopes(READ)
            .gives::<Extensions<'_>>(200, "The earliest connected first.", extensions()),
        Operation::new("DELETE /v1/rc/extensions/{extensionId}", "disconnect-extension", "Disconnects an extension")
            .scopes(MANAGE)
            .gives_ok("Nothing can use it any more."),
        Operation::new("GET /v1/rc/numbers", "list-numbers", "The numbers that can text")
            .scopes(READ)
            .gives::<Numbers<'_>>(200, "Those of connected extensions, then the accounts' others.", numbers()),
        Operation::new("POST /v1/rc/numbers/refresh", "refresh-numbers", "Discovers the numbers again")
            .scopes(MANAGE)
            .gives::<Numbers<'_>>(200, "The numbers as they are now.", numbers()),
        Operation::new("POST /v1/rc/disconnect", "disconnect-account", "Disconnects everything")
            .scopes(MANAGE)
            .gives_ok("Nothing is connected any more, also if nothing was."),
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
