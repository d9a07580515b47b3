//! Health, the contract itself, and where RingCentral reports.

use serde_json::{Value, json};
use shared::views::StatusOnly;

use crate::operation::{Body, Operation};

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new("GET /health", "get-health", "Whether the process answers").gives::<StatusOnly>(
            200,
            "It does.",
            json!({ "status": "ok" }),
        ),
        Operation::new("GET /health/ready", "check-readiness", "Whether the stores answer")
            .gives::<StatusOnly>(200, "All of them do.", json!({ "status": "ok" })),
        Operation::new("GET /openapi.json", "show-openapi", "The contract for programs").gives::<Value>(
            200,
            "This document, as OpenAPI 3.1.",
            json!({ "openapi": "3.1.0" }),
        ),
        Operation::new("GET /docs", "show-docs", "The contract for people").answers(
            200,
            "The page.",
            Body::Page,
        ),
        Operation::new("POST /v1/webhooks/ringcentral", "receive-event", "Where RingCentral reports")
            .more("For RingCentral alone. The handshake of a new subscription is echoed.")
            .header(
                "Validation-Token",
                "What RingCentral sends to see whether this address is ours.",
                json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[!-~]+$" }),
            )
            .header(
                "Verification-Token",
                "What proves that an event comes from RingCentral.",
                json!({ "type": "string" }),
            )
            .asks("c", "Whose events come here.", json!({ "type": "string" }))
            .answers(
                200,
                "The handshake, echoed in the header `Validation-Token`; or: the event is stored.",
                Body::Empty,
            )
            .answers(400, "The handshake token is malformed.", Body::Empty)
            .answers(401, "The subscription's token is missing or wrong.", Body::Empty)
            .answers(413, "More than an event can be.", Body::Empty)
            .answers(503, "The event could not be stored: come again later.", Body::Empty),
    ]
}
