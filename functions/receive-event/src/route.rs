//! The facts of this route.

use shared::http::route::{Parameter, ResponseBody, Route, printable, text};

pub const ROUTE: Route = Route::new("POST /v1/webhooks/ringcentral", "Receive a RingCentral event")
    .description("Called by RingCentral only. Echoes the handshake of a new subscription.")
    .for_ringcentral()
    .query(&[Parameter::new(
        "c",
        "The connection that the subscription belongs to, with a tag of this deployment.",
        text,
    )])
    .headers(&[
        Parameter::new("Validation-Token", "The token of the handshake.", || printable(256)),
        Parameter::new(
            "Verification-Token",
            "The token of the subscription, which proves that the event comes from RingCentral.",
            text,
        ),
    ])
    .other_response(
        200,
        "The event is stored or quarantined, or the handshake is echoed in the header `Validation-Token`.",
        ResponseBody::Empty,
    )
    .other_response(400, "The handshake token is malformed.", ResponseBody::Empty)
    .other_response(
        401,
        "The verification token or the tag in the URL is missing or wrong.",
        ResponseBody::Empty,
    )
    .other_response(
        503,
        "The event could not be stored. Message sync finds what it reported.",
        ResponseBody::Empty,
    );
