//! Every route of the API: who may call it, and what it may answer instead of success.

/// Who may call a route; it decides what else may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Open,
    /// RingCentral: it is answered with a status, without a body and without headers that it does not need.
    RingCentral,
    /// A browser with a link, or on its way back from RingCentral.
    Browser,
    /// A tenant's key.
    Key,
    /// The operator's key.
    Operator,
}

impl Access {
    /// What any route of this kind may answer.
    pub fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Open => &["internal"],
            Self::RingCentral => &[],
            Self::Browser => &["unavailable", "internal"],
            Self::Key => &[
                "unauthorized",
                "tenant_suspended",
                "address_not_allowed",
                "insufficient_scope",
                "rate_limited",
                "unavailable",
                "internal",
            ],
            Self::Operator => {
                &["unauthorized", "insufficient_scope", "rate_limited", "unavailable", "internal"]
            }
        }
    }
}

/// Codes of a request body that is read as JSON.
const BODY: [&str; 3] = ["invalid_body", "unknown_field", "body_too_large"];

/// Every route with the codes of its own; a test compares the list with template.yaml.
pub fn all() -> Vec<(&'static str, Access, Vec<&'static str>)> {
    let with_body = |codes: &[&'static str]| [&BODY, codes].concat();
    vec![
        ("GET /health", Access::Open, vec![]),
        ("GET /health/ready", Access::Open, vec!["unavailable"]),
        ("GET /openapi.json", Access::Open, vec![]),
        ("GET /docs", Access::Open, vec![]),
        ("POST /v1/webhooks/ringcentral", Access::RingCentral, vec![]),
        ("POST /v1/tenants", Access::Operator, with_body(&["invalid_name", "invalid_field"])),
        ("GET /v1/tenants", Access::Operator, vec!["invalid_query"]),
        ("GET /v1/tenants/{tenantId}", Access::Operator, vec!["invalid_id", "not_found"]),
        (
            "PATCH /v1/tenants/{tenantId}",
            Access::Operator,
            with_body(&["invalid_id", "invalid_name", "invalid_field", "not_found", "tenant_deleting"]),
        ),
        ("DELETE /v1/tenants/{tenantId}", Access::Operator, vec!["invalid_id", "not_found"]),
        (
            "POST /v1/apps/register",
            Access::Key,
            with_body(&[
                "missing_field",
                "invalid_name",
                "invalid_id",
                "invalid_field",
                "invalid_webhook_url",
                "tenant_unavailable",
                "too_many_apps",
            ]),
        ),
        ("GET /v1/apps", Access::Key, vec!["invalid_query"]),
        ("GET /v1/apps/{appId}", Access::Key, vec!["invalid_id", "not_found"]),
        (
            "PUT /v1/apps/{appId}",
            Access::Key,
            with_body(&["invalid_id", "invalid_name", "invalid_field", "invalid_webhook_url", "not_found"]),
        ),
        ("DELETE /v1/apps/{appId}", Access::Key, vec!["invalid_id", "not_found"]),
        (
            "POST /v1/apps/{appId}/rotate-key",
            Access::Key,
            with_body(&["invalid_id", "invalid_field", "not_found", "too_many_keys"]),
        ),
        ("POST /v1/apps/{appId}/rotate-webhook-secret", Access::Key, vec!["invalid_id", "not_found"]),
        (
            "POST /v1/apps/{appId}/test-webhook",
            Access::Key,
            with_body(&["invalid_id", "not_found", "no_webhook_url"]),
        ),
        ("GET /v1/apps/{appId}/deliveries", Access::Key, vec!["invalid_id", "invalid_query", "not_found"]),
        (
            "POST /v1/apps/{appId}/deliveries/{deliveryId}/replay",
            Access::Key,
            with_body(&["invalid_id", "not_found"]),
        ),
        (
            "POST /v1/apps/{appId}/replay",
            Access::Key,
            with_body(&["missing_field", "invalid_id", "invalid_field", "not_found"]),
        ),
        (
            "POST /v1/triggers/sms-received/subscribe",
            Access::Key,
            with_body(&["missing_field", "invalid_field", "too_many_apps"]),
        ),
        ("DELETE /v1/triggers/sms-received/subscribe/{id}", Access::Key, vec!["invalid_id", "not_found"]),
        ("GET /v1/events", Access::Key, vec!["invalid_query"]),
        (
            "POST /v1/apps/{appId}/keys",
            Access::Key,
            with_body(&["missing_field", "invalid_id", "invalid_field", "not_found", "too_many_keys"]),
        ),
        ("GET /v1/apps/{appId}/keys", Access::Key, vec!["invalid_id", "not_found"]),
        ("DELETE /v1/apps/{appId}/keys/{keyId}", Access::Key, vec!["invalid_id", "not_found"]),
        ("GET /v1/audit", Access::Key, vec!["invalid_id", "invalid_query"]),
        ("POST /v1/rc/connect-token", Access::Key, with_body(&[])),
        ("POST /v1/rc/invite-token", Access::Key, with_body(&["invalid_field"])),
        (
            "GET /v1/rc/connect",
            Access::Browser,
            vec!["missing_field", "link_unknown", "link_expired", "link_used"],
        ),
        (
            "HEAD /v1/rc/connect",
            Access::Browser,
            vec!["missing_field", "link_unknown", "link_expired", "link_used"],
        ),
        (
            "POST /v1/rc/connect",
            Access::Browser,
            vec![
                "missing_field",
                "link_unknown",
                "link_expired",
                "link_used",
                "cross_site",
                "tenant_suspended",
            ],
        ),
        (
            "GET /v1/rc/callback",
            Access::Browser,
            vec![
                "missing_field",
                "invalid_state",
                "already_handled",
                "access_denied",
                "provider_error",
                "code_refused",
                "exchange_failed",
                "provider_misconfigured",
                "connected_elsewhere",
                "link_used",
                "tenant_suspended",
            ],
        ),
        ("GET /v1/rc/connected", Access::Browser, vec![]),
        ("GET /v1/rc/status", Access::Key, vec![]),
        ("GET /v1/rc/extensions", Access::Key, vec![]),
        ("DELETE /v1/rc/extensions/{extensionId}", Access::Key, vec!["invalid_id", "not_found"]),
        ("GET /v1/rc/numbers", Access::Key, vec![]),
        ("POST /v1/rc/numbers/refresh", Access::Key, vec!["sender_not_connected"]),
        ("POST /v1/rc/disconnect", Access::Key, vec![]),
        (
            "POST /v1/sms/send",
            Access::Key,
            with_body(&[
                "missing_field",
                "invalid_phone_number",
                "invalid_field",
                "sender_unknown",
                "sender_not_connected",
                "idempotency_in_progress",
                "idempotency_key_reused",
            ]),
        ),
        ("POST /v1/sms/preview", Access::Key, with_body(&[])),
        ("GET /v1/sms/status/{messageId}", Access::Key, vec!["invalid_id", "not_found"]),
        ("GET /v1/sms/messages", Access::Key, vec!["invalid_query"]),
        (
            "POST /v1/sms/{messageId}/cancel",
            Access::Key,
            with_body(&["invalid_id", "not_found", "message_state"]),
        ),
        (
            "POST /v1/sms/{messageId}/resolve",
            Access::Key,
            with_body(&["missing_field", "invalid_field", "invalid_id", "not_found", "message_state"]),
        ),
    ]
}
