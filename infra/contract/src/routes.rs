//! The routes of all functions. Nothing can import a program, so the files that state their facts are compiled here a second
//! time. A house test compares this list with the folders.

use shared::http::route::Route;

#[path = "../../../functions/cancel-message/src/route.rs"]
pub mod cancel_message;
#[path = "../../../functions/check-readiness/src/route.rs"]
pub mod check_readiness;
#[path = "../../../functions/check-ringcentral/src/route.rs"]
pub mod check_ringcentral;
#[path = "../../../functions/create-connect-token/src/route.rs"]
pub mod create_connect_token;
#[path = "../../../functions/create-invite-token/src/route.rs"]
pub mod create_invite_token;
#[path = "../../../functions/create-key/src/route.rs"]
pub mod create_key;
#[path = "../../../functions/create-media-upload/src/route.rs"]
pub mod create_media_upload;
#[path = "../../../functions/create-tenant/src/route.rs"]
pub mod create_tenant;
#[path = "../../../functions/create-trigger/src/route.rs"]
pub mod create_trigger;
#[path = "../../../functions/delete-app/src/route.rs"]
pub mod delete_app;
#[path = "../../../functions/delete-key/src/route.rs"]
pub mod delete_key;
#[path = "../../../functions/delete-quarantined-record/src/route.rs"]
pub mod delete_quarantined_record;
#[path = "../../../functions/delete-tenant/src/route.rs"]
pub mod delete_tenant;
#[path = "../../../functions/delete-trigger/src/route.rs"]
pub mod delete_trigger;
#[path = "../../../functions/disconnect-account/src/route.rs"]
pub mod disconnect_account;
#[path = "../../../functions/disconnect-extension/src/route.rs"]
pub mod disconnect_extension;
#[path = "../../../functions/finish-connection/src/route.rs"]
pub mod finish_connection;
#[path = "../../../functions/get-app/src/route.rs"]
pub mod get_app;
#[path = "../../../functions/get-health/src/route.rs"]
pub mod get_health;
#[path = "../../../functions/get-key/src/route.rs"]
pub mod get_key;
#[path = "../../../functions/get-media/src/route.rs"]
pub mod get_media;
#[path = "../../../functions/get-message/src/route.rs"]
pub mod get_message;
#[path = "../../../functions/get-quarantined-record/src/route.rs"]
pub mod get_quarantined_record;
#[path = "../../../functions/get-settings/src/route.rs"]
pub mod get_settings;
#[path = "../../../functions/get-status/src/route.rs"]
pub mod get_status;
#[path = "../../../functions/get-tenant/src/route.rs"]
pub mod get_tenant;
#[path = "../../../functions/list-apps/src/route.rs"]
pub mod list_apps;
#[path = "../../../functions/list-audit-log/src/route.rs"]
pub mod list_audit_log;
#[path = "../../../functions/list-consent-history/src/route.rs"]
pub mod list_consent_history;
#[path = "../../../functions/list-consents/src/route.rs"]
pub mod list_consents;
#[path = "../../../functions/list-deliveries/src/route.rs"]
pub mod list_deliveries;
#[path = "../../../functions/list-events/src/route.rs"]
pub mod list_events;
#[path = "../../../functions/list-extensions/src/route.rs"]
pub mod list_extensions;
#[path = "../../../functions/list-keys/src/route.rs"]
pub mod list_keys;
#[path = "../../../functions/list-messages/src/route.rs"]
pub mod list_messages;
#[path = "../../../functions/list-numbers/src/route.rs"]
pub mod list_numbers;
#[path = "../../../functions/list-quarantined-records/src/route.rs"]
pub mod list_quarantined_records;
#[path = "../../../functions/list-tenants/src/route.rs"]
pub mod list_tenants;
#[path = "../../../functions/preview-sms/src/route.rs"]
pub mod preview_sms;
#[path = "../../../functions/receive-event/src/route.rs"]
pub mod receive_event;
#[path = "../../../functions/refresh-numbers/src/route.rs"]
pub mod refresh_numbers;
#[path = "../../../functions/register-app/src/route.rs"]
pub mod register_app;
#[path = "../../../functions/replay-deliveries/src/route.rs"]
pub mod replay_deliveries;
#[path = "../../../functions/replay-delivery/src/route.rs"]
pub mod replay_delivery;
#[path = "../../../functions/resolve-message/src/route.rs"]
pub mod resolve_message;
#[path = "../../../functions/retry-quarantined-record/src/route.rs"]
pub mod retry_quarantined_record;
#[path = "../../../functions/rotate-key/src/route.rs"]
pub mod rotate_key;
#[path = "../../../functions/rotate-webhook-secret/src/route.rs"]
pub mod rotate_webhook_secret;
#[path = "../../../functions/send-sms/src/route.rs"]
pub mod send_sms;
#[path = "../../../functions/show-connect-page/src/route.rs"]
pub mod show_connect_page;
#[path = "../../../functions/show-connected-page/src/route.rs"]
pub mod show_connected_page;
#[path = "../../../functions/show-docs/src/route.rs"]
pub mod show_docs;
#[path = "../../../functions/show-openapi/src/route.rs"]
pub mod show_openapi;
#[path = "../../../functions/start-connection/src/route.rs"]
pub mod start_connection;
#[path = "../../../functions/test-webhook/src/route.rs"]
pub mod test_webhook;
#[path = "../../../functions/update-app/src/route.rs"]
pub mod update_app;
#[path = "../../../functions/update-consents/src/route.rs"]
pub mod update_consents;
#[path = "../../../functions/update-settings/src/route.rs"]
pub mod update_settings;
#[path = "../../../functions/update-tenant/src/route.rs"]
pub mod update_tenant;

/// The headings of the API reference, with their descriptions.
pub const TAGS: [(&str, &str); 9] = [
    (
        "Connecting RingCentral",
        "Connect RingCentral extensions with links that their users open in a browser, and read their phone numbers.",
    ),
    ("Messages", "Send messages, and read sent and received ones."),
    (
        "Consent",
        "Read and change consents, and the settings of a tenant: quiet hours, and the confirmation of opt-outs.",
    ),
    (
        "Events and webhooks",
        "Receive events by webhook, by polling or in Power Automate, and read the delivery log.",
    ),
    ("Apps and keys", "Register the apps of a tenant, and manage their API keys and webhook secrets."),
    ("Tenants", "Create and manage tenants, with the operator key."),
    ("Quarantine", "Inspect and retry records that could not be read, with the operator key."),
    ("Service", "Check the service, and read this documentation."),
    ("Webhooks", "The requests that Ringbridge sends to the webhook URL of an app."),
];

/// A route, with what its place in the tree adds.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The heading in the API reference.
    pub tag: &'static str,
    /// The function that serves it.
    pub function: String,
    pub route: Route,
}

macro_rules! operations {
    ($($tag:literal: $($function:ident)+;)+) => {
        [$($(($tag, stringify!($function), $function::ROUTE),)+)+]
    };
}

/// All operations, in the order of the API reference.
pub fn operations() -> Vec<Operation> {
    let routes = operations! {
        "Connecting RingCentral":
            create_connect_token
            create_invite_token
            show_connect_page
            start_connection
            finish_connection
            show_connected_page
            get_status
            list_extensions
            disconnect_extension
            list_numbers
            refresh_numbers
            disconnect_account;
        "Messages":
            send_sms
            get_message
            list_messages
            cancel_message
            resolve_message
            preview_sms
            create_media_upload
            get_media;
        "Consent":
            list_consents
            update_consents
            list_consent_history
            get_settings
            update_settings;
        "Events and webhooks":
            list_events
            test_webhook
            list_deliveries
            replay_delivery
            replay_deliveries
            create_trigger
            delete_trigger;
        "Apps and keys":
            register_app
            list_apps
            get_app
            update_app
            delete_app
            rotate_key
            rotate_webhook_secret
            create_key
            get_key
            list_keys
            delete_key
            list_audit_log;
        "Tenants":
            create_tenant
            list_tenants
            get_tenant
            update_tenant
            delete_tenant;
        "Quarantine":
            list_quarantined_records
            get_quarantined_record
            retry_quarantined_record
            delete_quarantined_record;
        "Service":
            get_health
            check_readiness
            check_ringcentral
            show_openapi
            show_docs
            receive_event;
    };
    let mut operations = Vec::new();
    for (tag, module, route) in routes {
        let function = module.replace('_', "-");
        let head = route.head_route().map(|route| Operation { tag, function: function.clone(), route });
        operations.push(Operation { tag, function, route });
        operations.extend(head);
    }
    operations
}
