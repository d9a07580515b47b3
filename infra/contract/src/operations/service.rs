//! Health, the API description, and RingCentral's webhook.

use serde_json::{Value, json};
use shared::views::StatusOnly;

use crate::operation::{Body, Operation};

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new("GET /health", "get-health", "Check health").gives::<StatusOnly>(
            200,
            "The service is running.",
            json!({ "status": "ok" }),
        ),
        Operation::new("GET /health/ready", "check-readiness", "Check readiness").gives::<StatusOnly>(
            200,
            "All tables and the encryption key are available.",
            json!({ "status": "ok" }),
        ),
        Operation::new("GET /openapi.json", "show-openapi", "Get the OpenAPI document").gives::<Value>(
            200,
            "This document, OpenAPI 3.1.",
            json!({ "openapi": "3.1.0" }),
        ),
        Operation::new("GET /docs", "show-docs", "Show the API reference").answers(
            200,
            "An HTML page.",
            Body::Page,
        ),
        Operation::new("POST /v1/webhooks/ringcentral", "receive-event", "Receive a RingCentral event")
            .more("Called by RingCentral only. Echoes the handshake of a new subscription.")
            .header(
                "Validation-Token",
                "The token of the handshake.",
                json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[!-~]+$" }),
            )
            .header(
                "Verification-Token",
                "The token of the subscription, which proves that the event comes from RingCentral.",
                json!({ "type": "string" }),
            )
            .asks("c", "The connection that the subscription belongs to.", json!({ "type": "string" }))
            .answers(
                200,
                "The event is stored, or the handshake is echoed in the header `Validation-Token`.",
                Body::Empty,
            )
            .answers(400, "The handshake token is malformed.", Body::Empty)
            .answers(401, "The verification token is missing or wrong.", Body::Empty)
            .answers(413, "The event is too large.", Body::Empty)
            .answers(503, "The event could not be stored. RingCentral retries it.", Body::Empty),
    ]
}
