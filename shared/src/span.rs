//! What the log lines of one request or record have in common. `http`, `run` and `batch` open a tracing span for each; every
//! line inside carries its fields.

use std::fmt::Display;

use tracing::field::display;
use tracing::{Instrument, Span};

tokio::task_local! {
    static REQUEST_ID: String;
}

/// Runs a future in the span of a request or invocation.
pub async fn in_request<T>(request_id: String, span: Span, work: impl Future<Output = T>) -> T {
    REQUEST_ID.scope(request_id, work.instrument(span)).await
}

/// The id of the request or invocation that this code runs in. A function that calls another one passes it on.
pub fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

pub fn set_tenant(id: impl Display) {
    Span::current().record("tenant.id", display(id));
}

pub fn set_message(id: impl Display) {
    Span::current().record("message.id", display(id));
}

/// The request id of the function that called this one.
pub fn set_caller_request(id: impl Display) {
    Span::current().record("caller.request.id", display(id));
}
