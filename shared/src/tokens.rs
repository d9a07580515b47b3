//! Access tokens for API calls, and refreshing them.
//!
//! Every function may use [`access_token`] and [`call`]: they return or use a token that was stored before its first use
//! and is valid long enough. They do not refresh: only one function may open refresh tokens, and the others invoke it.
//! That function uses [`refresh`], which does the I/O for the state machine in
//! [`model::refresh`](crate::model::refresh).

mod access;
mod attempt;
mod calls;
mod deferred;
mod follow_up;
mod refresh;
mod sealing;

pub use self::access::{UsableToken, access_token, replace_rejected_token};
pub use self::calls::{CallError, call, call_with_priority, call_with_token, check_rate_limit};
pub use self::deferred::DeferredPair;
pub use self::follow_up::RefreshCounts;
pub use self::refresh::{
    RefreshQueueMessage, RefreshResponse, invocation_deadline, process_queue_message, refresh,
};
