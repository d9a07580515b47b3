//! Every limit, timeout, interval and retention period, with its unit in the name.
//!
//! Assertions between them hold those that depend on each other: a change that breaks such a relation does not compile.

mod consents;
mod media;
mod patterns;

pub use consents::*;
pub use media::*;
pub use patterns::{ADDRESS_PATTERN, LINE_PATTERN, NAME_PATTERN, TEXT_PATTERN, URL_PATTERN};

/// Largest request body.
pub const BODY_BYTES: usize = 100 * 1024;
/// Longest name of a tenant or an app.
pub const NAME_CHARS: usize = 100;
/// Longest webhook or return URL.
pub const URL_CHARS: usize = 2_000;
/// Longest label of an invite.
pub const LABEL_CHARS: usize = 100;

/// Lifetime of a connect token.
pub const CONNECT_TOKEN_SECONDS: i64 = 5 * 60;
/// Default lifetime of an invite token.
pub const INVITE_TOKEN_SECONDS: i64 = 30 * 60;
/// Shortest lifetime of an invite token.
pub const INVITE_TOKEN_MIN_SECONDS: i64 = 60;
/// Longest lifetime of an invite token.
pub const INVITE_TOKEN_MAX_SECONDS: i64 = 7 * 24 * 3_600;
/// Default limit of connect and invite tokens together, per tenant and rolling hour.
pub const CONNECT_TOKENS_PER_HOUR: u32 = 100;
/// Largest limit that the operator may set: the log of an hour is one DynamoDB item.
pub const CONNECT_TOKENS_PER_HOUR_MAX: u32 = 10_000;
/// Default limit of requests per API key and rolling minute.
pub const REQUESTS_PER_MINUTE: u32 = 100;
/// Requests of all keys of a tenant in a rolling minute, unless the operator sets another limit.
pub const TENANT_REQUESTS_PER_MINUTE: u32 = 1_000;
/// Largest limit that the operator may set.
pub const REQUESTS_PER_MINUTE_MAX: u32 = 1_000_000;

pub const OPERATOR_REQUESTS_PER_MINUTE: u32 = 500;
/// Up to this limit a counter is a log of timestamps, exact to the millisecond; above, it has slots of a thirtieth of the
/// window.
pub const COUNTER_LOG_ENTRIES: u32 = 500;
/// Largest limit of one counter; a larger limit is sharded. DynamoDB writes one item up to 1,000 times a second; this is
/// half of it for a minute.
pub const COUNTER_SHARE: u32 = 30_000;
/// Attempts of an operation that reads and then writes on condition that nothing changed in between. The last conflict is an
/// error.
pub const CONFLICT_ATTEMPTS: u32 = 5;
/// Attributes that one write removes from a counter, those of slots that have left the window.
pub const COUNTER_CELLS_REMOVED: usize = 60;
/// How often a write to a counter is tried while other processes change it.
pub const COUNTER_ATTEMPTS: u32 = 32;
/// Time limit for counting a request, one hanging attempt included. After that the process counts locally for a while.
pub const COUNTING_MS: u64 = 3_000;
/// How long a process counts locally after the counters failed.
pub const LOCAL_COUNTING_SECONDS: i64 = 5;
/// The last use of an API key is stored at most once in this time.
pub const LAST_USED_SECONDS: i64 = 60;
/// Retention of the last use of a key.
pub const LAST_USED_RETENTION_SECONDS: i64 = 400 * 24 * 3_600;
/// How long a process caches that a key does not exist.
pub const UNKNOWN_KEY_SECONDS: i64 = 60;
/// How long the outcome of a readiness check is kept.
pub const READINESS_SECONDS: i64 = 5;
/// How long a process caches the digest of a key, to reject wrong secrets and to count requests while it reads the key.
pub const KNOWN_KEY_SECONDS: i64 = 60;
/// For this long after reading a key, a process rejects requests over the rate limit without reading the key again.
pub const KEY_REREAD_MS: i64 = 1_000;
/// Capacity of each cache of a process.
pub const CACHE_ENTRIES: usize = 10_000;
/// Default limit of apps of one tenant, Power Automate flows included. An event fans out to each of them.
pub const APPS_PER_TENANT: u32 = 20;
/// Largest limit that the operator may set.
pub const APPS_PER_TENANT_MAX: u32 = 200;
/// Keys of one app, including its main key and rotated keys that are still valid.
pub const KEYS_PER_APP: usize = 25;
/// Address ranges of one key.
pub const ALLOWED_IPS: usize = 50;
/// Longest time that a rotated key may stay valid.
pub const OVERLAP_SECONDS_MAX: i64 = 30 * 24 * 3_600;
/// How long events are also signed with a replaced webhook secret.
pub const WEBHOOK_SECRET_OVERLAP_SECONDS: i64 = 24 * 3_600;
/// Replaced webhook secrets of an app that still sign. It limits how many can be replaced in that time.
pub const WEBHOOK_SECRETS_REPLACED: usize = 4;
/// Default page size of a list.
pub const PAGE_DEFAULT: u32 = 20;
/// Largest page size of a list.
pub const PAGE_MAX: u32 = 100;
/// Deadline for ending a tenant's RingCentral sessions during its deletion. After it their tokens are erased.
pub const DELETION_SESSIONS_MS: u64 = 12_000;
/// Sessions that are ended concurrently.
pub const DELETION_AT_ONCE: usize = 8;
/// Deadline for removing connections and erasing data keys within the request that deletes a tenant.
pub const DELETION_ERASE_MS: u64 = 8_000;
/// Connections of a deleted tenant that are read at once.
pub const DELETION_BATCH: i32 = 50;
/// Keys of a deleted tenant's items that are read at once.
pub const DELETION_PAGE: i32 = 1_000;
/// Remaining items of a deleted tenant that are counted in each table.
pub const DELETION_COUNTED: usize = 1_000;
/// How long one run of `erase-tenants` begins to erase (template.yaml: 300 s).
pub const DELETION_RUN_MS: i64 = 60_000;
/// Deadline for each of the first steps of a deletion in the background.
pub const DELETION_STEP_MS: u64 = 60_000;
/// Lease of a deletion during a run.
pub const DELETION_LEASE_SECONDS: i64 = 320;
/// How long `erase-tenants` leaves a deletion to the request that started it.
pub const DELETION_GRACE_SECONDS: i64 = 30;

/// Lifetime of a flow. It is longer than that of a connect token.
pub const FLOW_SECONDS: i64 = 10 * 60;
/// How long the success page can be shown again.
pub const DONE_PAGE_SECONDS: i64 = 10 * 60;

/// Timeout of connecting to RingCentral.
pub const UPSTREAM_CONNECT_MS: u64 = 2_000;
/// Timeout of a call of the token endpoint, connecting included.
pub const TOKEN_CALL_MS: u64 = 8_000;
/// Timeout of an API call during the set-up of a connection. Creating a subscription waits for our own handshake.
pub const API_CALL_MS: u64 = 6_000;
/// Time limit for the set-up in a callback. The sweep completes the rest.
pub const SETUP_IN_CALLBACK_MS: u64 = 12_000;
/// Timeout of one attempt of an AWS call.
pub const AWS_ATTEMPT_MS: u64 = 2_000;
/// Timeout of an AWS call with its retries.
pub const AWS_CALL_MS: u64 = 5_000;
/// Attempts of an AWS call.
pub const AWS_ATTEMPTS: u32 = 4;
/// Longest delay before the second attempt; it doubles, with full jitter. The SDK's default of one second exceeds the deadlines of
/// some callers.
pub const AWS_BACKOFF_MS: u64 = 100;
/// Timeout of the functions that call RingCentral while a browser waits (template.yaml).
pub const CALLBACK_FUNCTION_MS: u64 = 29_000;

/// The sweep does not touch a new set-up for this long: the callback may still be running it.
pub const SETUP_GRACE_SECONDS: i64 = 60;
/// First pause between the sweep's attempts to complete a set-up. It doubles …
pub const SETUP_RETRY_SECONDS: i64 = 60;
/// Longest delay between these attempts.
pub const SETUP_RETRY_MAX_SECONDS: i64 = 6 * 3_600;
/// For how many numbers of an extension the 10DLC readiness is read (RingCentral allows 50 light calls a minute).
pub const READINESS_LOOKUPS: usize = 20;
/// How many numbers of an extension or an account are stored.
pub const NUMBERS: usize = 2_000;

/// Retention of events and deliveries.
pub const EVENT_RETENTION_SECONDS: i64 = 30 * 24 * 3_600;

/// Longest name of an alphanumeric sender in a filter; carriers allow eleven characters, e-mail gateways more.
pub const SENDER_NAME_CHARS: usize = 100;
/// After how many attempts to read the identity of a connected extension the event `rc_connected` is appended without it.
pub const CONNECTED_EVENT_ATTEMPTS: u32 = 3;
/// Retention of quarantined records.
pub const QUARANTINE_KEPT_SECONDS: i64 = 30 * 24 * 3_600;
/// How much of a quarantined record is kept.
pub const QUARANTINE_BYTES: usize = 64 * 1024;
/// How long a process does not look up again that a record is quarantined.
pub const QUARANTINE_CACHE_SECONDS: i64 = 600;

// Values that come from outside are clamped to these ranges before they are stored, so that every stored value can be read.

/// The earliest time that is stored, in milliseconds since 1970: 1970-01-01T00:00:00Z.
pub const STORED_TIME_MIN_MS: i64 = 0;
/// The latest time that is stored, in milliseconds since 1970: 9999-01-01T00:00:00Z.
pub const STORED_TIME_MAX_MS: i64 = 253_370_764_800_000;
/// Lifetime of an access token, if RingCentral's response does not contain a plausible one.
pub const ACCESS_TOKEN_SECONDS: i64 = 3_600;
/// Longest plausible lifetime of an access token. RingCentral grants an hour, at most two.
pub const ACCESS_TOKEN_MAX_SECONDS: i64 = 24 * 3_600;
/// Lifetime of a refresh token, if RingCentral's response does not contain a plausible one.
pub const REFRESH_TOKEN_SECONDS: i64 = 7 * 24 * 3_600;
/// Longest plausible lifetime of a refresh token (API Reference, `refresh_token_ttl`: 30 days).
pub const REFRESH_TOKEN_MAX_SECONDS: i64 = 30 * 24 * 3_600;
/// Lifetime of a webhook subscription; RingCentral's default.
pub const SUBSCRIPTION_SECONDS: i64 = 7 * 24 * 3_600;
/// Longest plausible lifetime of a webhook subscription: ten years and a month.
pub const SUBSCRIPTION_MAX_SECONDS: i64 = 3_680 * 24 * 3_600;
/// Longest text that RingCentral reports about an extension or a number and that is stored, such as a name, in characters.
pub const REPORTED_TEXT_CHARS: usize = 500;
/// How many features of a number are stored.
pub const NUMBER_FEATURES: usize = 50;

const _: () = assert!(ACCESS_TOKEN_SECONDS <= ACCESS_TOKEN_MAX_SECONDS);
const _: () = assert!(REFRESH_TOKEN_SECONDS <= REFRESH_TOKEN_MAX_SECONDS);
const _: () = assert!(SUBSCRIPTION_SECONDS <= SUBSCRIPTION_MAX_SECONDS);

/// A row that cannot be read is tried again after this time.
pub const UNREADABLE_RETRY_SECONDS: i64 = 3_600;
/// A process reports the same unreadable row at most once in this time.
pub const UNREADABLE_REPORT_SECONDS: i64 = 600;
/// Unreadable rows that a process collects until the end of an invocation.
pub const UNREADABLE_ROWS: usize = 100;

/// Pauses before the sweep's attempts to end a session: from the disconnect, which tries at once, to the first attempt, then
/// after each failed attempt. After the last one the sealed tokens are erased, and the session expires.
pub const REVOCATION_RETRY_SECONDS: [i64; 3] = [60, 3_600, 22 * 3_600];
/// Pause after an attempt that was not possible.
pub const REVOCATION_OBSTACLE_SECONDS: i64 = 10 * 60;
/// The sealed tokens of a pending revocation are erased after this at the latest.
pub const REVOCATION_KEPT_SECONDS: i64 = 7 * 24 * 3_600;

/// How long a plaintext data key is cached.
pub const DATA_KEY_CACHE_SECONDS: i64 = 5 * 60;
/// Plaintext data keys that are cached.
pub const DATA_KEY_CACHE_ENTRIES: usize = 256;

/// Shards of every index that spans all tenants. DynamoDB writes one shard up to 1,000 times a second.
pub const DEFAULT_SHARDS: u8 = 8;
pub const SHARDS_MAX: u8 = 64;
/// Queries by which a schedule looks for shards with due work that run concurrently.
pub const SHARD_QUERIES_AT_ONCE: usize = 32;
/// Work items of one kind that the sweep processes concurrently.
pub const SWEEP_AT_ONCE: usize = 8;
/// Work items of one kind that the sweep reads at once.
pub const SWEEP_BATCH: i32 = 50;
/// How long one run of the sweep starts further work of one kind (template.yaml: 120 s).
pub const SWEEP_MS: i64 = 60_000;

const _: () = assert!(DELETION_SESSIONS_MS + 2 * DELETION_ERASE_MS < CALLBACK_FUNCTION_MS);
const _: () = assert!(
    DELETION_RUN_MS.cast_unsigned() + 2 * DELETION_STEP_MS + DELETION_SESSIONS_MS + AWS_CALL_MS < 300_000
);
const _: () = assert!(DELETION_LEASE_SECONDS > 300);
const _: () = assert!(DELETION_GRACE_SECONDS * 1_000 > CALLBACK_FUNCTION_MS.cast_signed());
const _: () = assert!(TOKEN_CALL_MS < DELETION_SESSIONS_MS);
// One transaction changes an app, all its keys, and the audit log.
const _: () = assert!(KEYS_PER_APP + 2 <= 100);
const _: () = assert!(UPSTREAM_CONNECT_MS < TOKEN_CALL_MS);
const _: () = assert!(AWS_ATTEMPT_MS < COUNTING_MS && COUNTING_MS < AWS_CALL_MS);
const _: () = assert!(AWS_ATTEMPT_MS < AWS_CALL_MS);
const _: () = assert!(TOKEN_CALL_MS + SETUP_IN_CALLBACK_MS + AWS_CALL_MS < CALLBACK_FUNCTION_MS);
const _: () = assert!(SETUP_GRACE_SECONDS * 1_000 > CALLBACK_FUNCTION_MS.cast_signed());
const _: () =
    assert!(CONNECT_TOKEN_SECONDS < INVITE_TOKEN_SECONDS && INVITE_TOKEN_SECONDS <= INVITE_TOKEN_MAX_SECONDS);

/// How long a disconnect waits for revocations. The sweep retries the others.
pub const REVOCATIONS_AT_ONCE_MS: u64 = 18_000;
/// Timeout of invoking another function, which may call RingCentral.
pub const INVOKE_MS: u64 = 15_000;
const _: () = assert!(TOKEN_CALL_MS + API_CALL_MS < INVOKE_MS && INVOKE_MS < CALLBACK_FUNCTION_MS);
const _: () = assert!(
    INVOKE_MS < REVOCATIONS_AT_ONCE_MS && REVOCATIONS_AT_ONCE_MS + AWS_CALL_MS < CALLBACK_FUNCTION_MS
);

/// An access token that expires earlier than this is refreshed before it is used.
pub const ACCESS_MARGIN_SECONDS: i64 = 120;
/// An access token that can't be refreshed at the moment is used if it is valid at least this long.
pub const ACCESS_LAST_USE_SECONDS: i64 = 10;
/// How long a process uses an access token without reading the connection again.
pub const ACCESS_UNREAD_SECONDS: i64 = 60;
/// How long a lease is valid after the deadline of its owner's process.
pub const LEASE_MARGIN_SECONDS: i64 = 5;
/// Timeout of the function that refreshes (template.yaml). It applies if Lambda reports no plausible deadline.
pub const REFRESH_FUNCTION_MS: u64 = 30_000;
/// A reported deadline that is further away than this, in the past or in the future, is not plausible.
pub const DEADLINE_PLAUSIBLE_SECONDS: i64 = 15 * 60;
/// The token endpoint is called only if this much time is left, for the call and for storing its outcome.
pub const TOKEN_CALL_NEEDS_MS: i64 = 12_000;
/// How long an attempt waits for the lease of another one.
pub const LEASE_PATIENCE_SECONDS: i64 = 5;
/// A connection is marked as revoked at the second denial of its refresh token, at least this long after the first.
pub const DENIALS_APART_SECONDS: i64 = 30;
/// Retry interval while RingCentral rejects the app's client id or secret.
pub const MISCONFIGURED_RETRY_SECONDS: i64 = 300;
/// Shortest penalty after a 429 or 503 of the token endpoint (Developer Guide, "Rate limits").
pub const TOKEN_PENALTY_SECONDS: i64 = 30;
/// Two members of a scope that are rate limited within this time open its circuit breaker.
pub const TOKEN_PENALTY_CORRELATION_SECONDS: i64 = 60;
/// How long the probe of a half-open breaker is reserved for one caller.
pub const TOKEN_PROBE_SECONDS: i64 = 15;
/// Retry interval for callers without the probe.
pub const TOKEN_PROBE_RETRY_SECONDS: u64 = 5;
/// Ramp-up: in each of the minutes after a successful probe, the usual token calls divided by this.
pub const TOKEN_RAMP_SHARES: [u32; 2] = [10, 3];
/// Retry interval for callers without a ramp-up slot. It is long because there may be many, and each retry costs a read.
pub const TOKEN_RAMP_RETRY_SECONDS: u64 = 20;
/// Retry interval after AWS prevented a refresh.
pub const REFRESH_OBSTACLE_SECONDS: i64 = 30;
/// Calls of the token endpoint per user and rolling minute (Developer Guide, "Rate limits": group Auth).
pub const TOKEN_CALLS_PER_USER: u32 = 5;
/// Calls that checks of the RingCentral app may make in a rolling minute; each makes two.
pub const TOKEN_CALLS_OF_CHECKS: u32 = 6;
/// The sign-ins of one tenant may use this percentage of the app's token calls.
pub const TENANT_SIGN_INS_PERCENT: u32 = 20;
/// The sign-ins of all tenants together may use this percentage; the rest is left to the refreshes.
pub const SIGN_INS_PERCENT: u32 = 66;
/// How often the button of a link may be pressed.
pub const LINK_STARTS: u32 = 10;
/// How many codes may be exchanged with a link.
pub const LINK_EXCHANGES: u32 = 5;
/// A code is exchanged only if this much time is left: to claim the flow, for the call, and to store the connection.
pub const EXCHANGE_NEEDS_MS: u64 = TOKEN_CALL_MS + 2 * AWS_CALL_MS;
/// While RingCentral rejects the app, its secret is read again, at most this often.
pub const APP_SECRET_REREAD_SECONDS: i64 = 60;
/// A refresh token that expires earlier raises an alarm: it should have been refreshed at half of its seven days.
pub const REFRESH_LIFE_ALARM_SECONDS: u64 = 2 * 24 * 3_600;
/// An unknown outcome of a token call that is older raises an alarm.
pub const INTENT_ALARM_SECONDS: u64 = 20 * 60;
/// The sweep skips a connection for this long after its refresh failed in the gateway.
pub const REFRESH_BROKEN_SECONDS: i64 = 10 * 60;
/// Sealed tokens of a revoked connection are erased after this.
pub const REVOKED_TOKENS_KEPT_SECONDS: i64 = 7 * 24 * 3_600;
/// Time budget for refreshes in one run of the sweep.
pub const REFRESH_SWEEP_MS: u64 = 60_000;

const _: () = assert!(TOKEN_CALL_MS.cast_signed() + LEASE_MARGIN_SECONDS * 1_000 > TOKEN_CALL_NEEDS_MS);
const _: () = assert!(TOKEN_CALL_NEEDS_MS < INVOKE_MS.cast_signed());
const _: () = assert!(EXCHANGE_NEEDS_MS + 2 * AWS_CALL_MS < CALLBACK_FUNCTION_MS);
const _: () = assert!(TOKEN_CALL_MS.cast_signed() < TOKEN_PROBE_SECONDS * 1_000);
const _: () = assert!(INVOKE_MS < REFRESH_FUNCTION_MS);
const _: () = assert!(ACCESS_LAST_USE_SECONDS < ACCESS_MARGIN_SECONDS);
// Delivery of events to apps.

/// Deadline of a request to a webhook URL: name resolution, connection, TLS, headers and body together.
pub const OUTBOUND_MS: u64 = 5_000;
/// How much of the response is read.
pub const OUTBOUND_RESPONSE_BYTES: usize = 16 * 1024;
/// How much of the response is shown.
pub const OUTBOUND_SHOWN_CHARS: usize = 500;
const _: () = assert!(OUTBOUND_MS + AWS_CALL_MS < CALLBACK_FUNCTION_MS);

/// Delays after each failed attempt of a delivery. After the last one it has failed.
pub const DELIVERY_RETRY_SECONDS: [u64; 11] =
    [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// Jitter, as a fraction of the delay that is added to it.
pub const DELIVERY_JITTER: f64 = 0.2;
/// Longest `Retry-After` of an endpoint that is respected.
pub const RETRY_AFTER_MAX_SECONDS: u64 = 4 * 3_600;
/// Deliveries of one event that are created concurrently. A tenant's events fan out one after another.
pub const FAN_OUT_CONCURRENCY: usize = 16;
/// How long the stream waits for the fan-out of a batch. What is not done by then goes on through a queue.
pub const FAN_OUT_MS: u64 = 2_000;
/// Events in a batch of the stream (template.yaml).
pub const STREAM_BATCH: u64 = 25;
/// Timeout of `fan-out-events` (template.yaml).
pub const FAN_OUT_FUNCTION_MS: u64 = 60_000;
const _: () = assert!(FAN_OUT_MS + AWS_CALL_MS < FAN_OUT_FUNCTION_MS);
/// Tenants whose events fan out concurrently, from one batch of the stream.
pub const STREAM_TENANTS_AT_ONCE: usize = 25;
// All tenants of a batch begin at once, so one deadline is fair to them.
const _: () = assert!(STREAM_TENANTS_AT_ONCE as u64 >= STREAM_BATCH);
/// Concurrent attempts to one endpoint.
pub const DELIVERIES_AT_ONCE: usize = 4;
/// First delay of a delivery that finds every slot of its endpoint busy; it doubles.
pub const DELIVERY_BUSY_SECONDS: i64 = 5;
/// Longest such delay. Jitter of up to the same length is added.
pub const DELIVERY_BUSY_MAX_SECONDS: i64 = 240;
/// Deliveries that wait for a paused endpoint are spread over this time after the pause …
pub const DELIVERY_SPREAD_MS: u64 = 5_000;
/// … plus 1/n of the wait.
pub const DELIVERY_SPREAD_PART: u64 = 5;
/// Lease of a delivery during an attempt.
pub const DELIVERY_LEASE_SECONDS: i64 = 40;
/// How long after the event the sweep recovers a delivery whose first queue message was lost.
pub const DELIVERY_GRACE_SECONDS: i64 = 120;
/// Consecutive failures after which an endpoint is paused.
pub const BREAKER_FAILURES: u32 = 5;
/// First pause; it doubles with each further failure.
pub const BREAKER_SECONDS: i64 = 30;
/// Longest pause.
pub const BREAKER_MAX_SECONDS: i64 = 1_800;
/// A failing endpoint causes a warning after each of these times.
pub const WARNING_AFTER_SECONDS: [i64; 2] = [24 * 3_600, 3 * 24 * 3_600];
/// A failing endpoint is disabled after this time.
pub const DISABLED_AFTER_SECONDS: i64 = 5 * 24 * 3_600;
/// Deliveries of one app that one run of the sweep enqueues from a shard, so that they do not delay other apps.
pub const DELIVERY_SWEEP_PER_APP: usize = 64;
/// How long a pass over the due deliveries of a shard runs before another worker continues it.
pub const DELIVERY_SWEEP_MS: i64 = 50_000;
/// Deliveries that are enqueued concurrently.
pub const DELIVERY_SWEEP_AT_ONCE: usize = 16;
/// Deliveries that one call replays, approximately.
pub const REPLAYED_AT_ONCE: usize = 500;
/// Pages of [`PAGE_MAX`] deliveries that one call reads.
pub const REPLAY_PAGES: usize = 100;
/// Polling clients see an event this long after it occurred. No event is written later than that.
pub const EVENT_VISIBILITY_SECONDS: i64 = 15;
/// Numbers that an app may filter by.
pub const APP_NUMBERS: usize = 100;
/// Timeout of the function that delivers events (template.yaml).
pub const WEBHOOK_FUNCTION_MS: u64 = 30_000;

const _: () = {
    let (mut at, mut sum) = (0, 0);
    while at < DELIVERY_RETRY_SECONDS.len() {
        sum += DELIVERY_RETRY_SECONDS[at];
        at += 1;
    }
    assert!(DELIVERY_RETRY_SECONDS.len() + 1 >= 10 && sum >= 72 * 3_600);
};
const _: () = assert!(OUTBOUND_MS + 4 * AWS_CALL_MS < WEBHOOK_FUNCTION_MS);
const _: () = assert!(DELIVERY_LEASE_SECONDS * 1_000 > WEBHOOK_FUNCTION_MS.cast_signed());
const _: () = assert!(EVENT_VISIBILITY_SECONDS * 1_000 >= 2 * AWS_CALL_MS.cast_signed());
const _: () = assert!(WARNING_AFTER_SECONDS[1] < DISABLED_AFTER_SECONDS);

/// A message is kept for this long after it was accepted, or after `sendAt`.
pub const MESSAGE_KEPT_SECONDS: i64 = 400 * 24 * 3_600;
/// A delivery report about a record that is not correlated with a message is kept for this long.
pub const UNCORRELATED_RECORD_KEPT_SECONDS: i64 = 3 * 24 * 3_600;
/// Page numbers reach this many messages; a cursor reaches all.
pub const LISTED_MESSAGES: usize = 10_000;
/// `total` counts in steps of this many rows, up to the end of the page.
pub const COUNTED_ROWS: i32 = 1_000;
/// Pages of DynamoDB, of a megabyte each, that one list request reads. The response then has a cursor to continue.
pub const LIST_PAGES: usize = 10;

// Inbound messages.

/// Time to store an event. RingCentral waits three seconds for a webhook response and suspends slow subscriptions; the
/// gateway responds within one.
pub const RECEIVE_TIMEOUT_MS: u64 = 600;
/// Time to request a sync when an event could not be stored.
pub const RECEIVE_FALLBACK_MS: u64 = 180;
/// Time to read the key of the tags in webhook URLs, at the first event of a process.
pub const EVENT_TAG_MS: u64 = 200;
/// Longest texts of an inbound message together. As JSON, a control character takes six bytes, and a row at most 400 KB.
pub const INBOUND_MESSAGE_BYTES: usize = 32 * 1024;
pub const INBOUND_ATTACHMENTS: usize = 100;
/// Longest handshake token that is echoed, in characters: the whole response stays below 600 bytes.
pub const HANDSHAKE_CHARS: usize = 256;
/// A connection is active for this long after its last message.
pub const ACTIVE_FOR_SECONDS: i64 = 3_600;
/// A connection has recent traffic for this long after its last message.
pub const RECENT_FOR_SECONDS: i64 = 24 * 3_600;
/// Longest interval between syncs that the operator may set, in minutes.
pub const SYNC_MINUTES_MAX: u32 = 24 * 60;
/// A sync that joins the daily check of a connection is due this long after it, and uses the check's access token.
pub const SYNC_AFTER_CHECK_SECONDS: i64 = 10 * 60;
/// Time from a sent message to the sync that reads its status, with those of all messages sent meanwhile.
pub const STATUS_CHECK_SECONDS: i64 = 20;
/// A run of a sender's worker that has taken longer leaves the statuses to the next one.
pub const STATUS_RUN_MS: u64 = 20_000;
/// Shortest interval of the syncs that follow the last sent message while its delivery is not reported. Longer than that of the
/// worker's syncs, which come first while messages are sent.
pub const STATUS_FOLLOW_UP_SECONDS: i64 = 30;
/// After this time a sync that a sender's worker runs leaves records that are not stored to the next one.
pub const STATUS_SYNC_MS: i64 = 8_000;
/// A process that has saved a message's status appends its event within this time, if at all.
pub const STATUS_EVENT_SECONDS: i64 = 15;
/// Message sync may use the app's token calls divided by this. Sends, sign-ins and the keepalive may use them all.
pub const SYNC_TOKEN_SHARE: u32 = 2;
/// Delay from an event that reports a change to the sync that it requests, which includes all changes until then.
pub const SYNC_DEBOUNCE_SECONDS: i64 = 20;
/// A sync without a sync token goes back this far.
pub const SYNC_LOOKBACK_SECONDS: i64 = 7 * 24 * 3_600;
/// Connections that are synced concurrently.
pub const SYNCS_AT_ONCE: usize = 8;
/// Delivery reports that are applied concurrently. More would conflict: a message's parts are often reported together.
pub const REPORTS_AT_ONCE: usize = 4;
/// One run begins syncs for this long.
pub const SYNC_RUN_MS: i64 = 25_000;
/// After this time a run leaves records that are not stored to the next run.
pub const SYNC_STOP_MS: i64 = 45_000;
/// Timeout of `sync-messages` (template.yaml).
pub const SYNC_FUNCTION_MS: i64 = 60_000;
/// One message sync call: the response may be long.
pub const SYNC_CALL_MS: u64 = 10_000;
/// Records per page of a backfill, and about as many of a sync without a sync token.
pub const SYNC_PAGE: u32 = 250;
/// Backfill pages that one sync of a connection reads. RingCentral counts these calls with all others of its user.
pub const BACKFILL_PAGES: u32 = 8;
/// Delay between the syncs of a connection whose backfill is not complete.
pub const BACKFILL_INTERVAL_SECONDS: i64 = 60;
/// If syncs have failed for this long and the response may be too large, the changes are read page by page.
pub const SYNC_STALE_SECONDS: i64 = 3_600;
const _: () = assert!(
    SYNC_RUN_MS + (INVOKE_MS + SYNC_CALL_MS + AWS_CALL_MS).cast_signed() < SYNC_FUNCTION_MS
        && SYNC_STOP_MS + (API_CALL_MS + AWS_CALL_MS).cast_signed() < SYNC_FUNCTION_MS
);
const _: () = assert!(EVENT_TAG_MS + RECEIVE_TIMEOUT_MS + RECEIVE_FALLBACK_MS < 1_000);
const _: () = assert!(SYNC_LOOKBACK_SECONDS < MESSAGE_KEPT_SECONDS);
const _: () = assert!(2 * 60 * (SYNC_MINUTES_MAX as i64) < SYNC_LOOKBACK_SECONDS);
const _: () = assert!(SYNC_AFTER_CHECK_SECONDS + ACCESS_MARGIN_SECONDS < ACCESS_TOKEN_SECONDS);

/// Longest text of a message, in UTF-16 code units. It is sent in parts.
pub const TEXT_UNITS: usize = 1_600;
/// Longest `userId`, in characters.
pub const USER_ID_CHARS: usize = 200;
/// Longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_CHARS: usize = 255;
/// The response for an idempotency key is stored for this long; the documentation promises 24 hours.
pub const IDEMPOTENCY_KEPT_SECONDS: i64 = 48 * 3_600;
/// How far ahead a message may be scheduled.
pub const SEND_AHEAD_SECONDS: i64 = 366 * 24 * 3_600;
/// After a wake-up, a sender is woken once more after this time, for all messages accepted meanwhile.
pub const WAKE_DEBOUNCE_SECONDS: i32 = 2;
/// A send request may rely on a cached API key and sender for this long.
pub const SEND_CACHE_SECONDS: i64 = 10;
/// Calls per window that RingCentral allows an extension and app, until its response headers report the limit.
pub const SENDS_PER_WINDOW: u32 = 40;
/// Length of that window.
pub const SEND_WINDOW_SECONDS: u32 = 60;
/// Largest number of calls per window that response headers may report: a sender's state has the time of each.
pub const SENDS_PER_WINDOW_MAX: u32 = 1_000;
/// Longest window that response headers may report.
pub const SEND_WINDOW_SECONDS_MAX: u32 = 3_600;
/// Calls of each window that are left to other clients of the extension.
pub const SENDS_RESERVED: u32 = 1;
/// Shortest penalty after a rate-limited call.
pub const PENALTY_SECONDS: u64 = 60;
/// Largest random addition to a penalty.
pub const PENALTY_JITTER_MS: u64 = 3_000;
/// Pause of a sender after a send that failed without reaching RingCentral; doubles …
pub const SEND_RETRY_SECONDS: u64 = 5;
/// Longest such delay.
pub const SEND_RETRY_MAX_SECONDS: u64 = 300;
/// A message that could not be sent for this long fails.
pub const SEND_GIVE_UP_SECONDS: i64 = 3 * 24 * 3_600;
/// Delay from a send whose response was lost to its reconciliation: the request has arrived by then, or never will.
pub const RECONCILE_AFTER_SECONDS: i64 = 120;
/// RingCentral's clock may be behind by this much.
pub const CLOCK_SKEW_SECONDS: i64 = 5;
/// One run of a sender's worker begins sends for this long.
pub const SEND_RUN_MS: u64 = 35_000;
/// Timeout of `deliver-sms` (template.yaml).
pub const SEND_FUNCTION_MS: u64 = 60_000;
/// Length of a sender's lease.
pub const SENDER_LEASE_SECONDS: i64 = 70;
/// A sender's state is deleted when it was not saved for this long.
pub const SENDER_STATE_KEPT_SECONDS: i64 = 7 * 24 * 3_600;
/// Longest wait that a worker sleeps; for a longer one it ends and re-enqueues itself with a delay.
pub const SENDER_SLEEP_MAX_MS: i64 = 3_000;
/// Retry interval of a sender when there is no access token, or the message store cannot be queried.
pub const SENDER_BLOCKED_RETRY_SECONDS: i64 = 30;
/// Scheduled messages of one sender that one run moves to the outbox.
pub const SCHEDULED_BATCH: i32 = 100;
/// Messages of one sender that one run reconciles.
pub const RECONCILE_BATCH: i32 = 100;
/// A process that has set a sender's active marker does not set it again for this long.
pub const ACTIVE_MARKER_TRUSTED_SECONDS: i64 = 30 * 60;
/// The active marker of a sender with an empty outbox is deleted after this time.
pub const ACTIVE_MARKER_KEPT_SECONDS: i64 = 40 * 60;
/// A message that has waited in an outbox for longer raises an alarm, if its sender has sent nothing meanwhile.
pub const WAITING_ALARM_SECONDS: i64 = 600;
/// Pages without a readable entry that one run reads.
pub const DUE_PAGES: usize = 40;
/// Entries of an index of due work that a pass reads at once.
pub const PASS_PAGE: i32 = 1_000;
/// How long one call of the restore check makes connections due: shorter than the read timeout of the AWS CLI, 60 seconds.
pub const RESTORE_RUN_MS: i64 = 30_000;
/// Connections that the restore check reads or writes concurrently.
pub const RESTORE_AT_ONCE: usize = 16;
/// A report of the restore check ends with the page that brings its list of connections to this length.
pub const RESTORE_REPORT: usize = 1_000;
/// How long a pass over the due senders of a shard runs before another worker continues it.
pub const WAKE_MS: i64 = 50_000;
/// Senders that are woken concurrently.
pub const WAKEUPS_AT_ONCE: usize = 16;

const _: () = assert!(SEND_RUN_MS + 2 * API_CALL_MS + 2 * AWS_CALL_MS < SEND_FUNCTION_MS);
const _: () = assert!(
    STATUS_RUN_MS + STATUS_SYNC_MS.cast_unsigned() + SYNC_CALL_MS + 3 * AWS_CALL_MS < SEND_FUNCTION_MS
);
const _: () = assert!(
    STATUS_CHECK_SECONDS * 1_000 + STATUS_SYNC_MS + (API_CALL_MS + SYNC_CALL_MS).cast_signed() < 60_000
);
const _: () = assert!(STATUS_CHECK_SECONDS < STATUS_FOLLOW_UP_SECONDS);
const _: () = assert!(
    2 * AWS_CALL_MS.cast_signed() < STATUS_EVENT_SECONDS * 1_000
        && STATUS_EVENT_SECONDS < STATUS_CHECK_SECONDS
);
const _: () = assert!(SENDER_LEASE_SECONDS * 1_000 > SEND_FUNCTION_MS.cast_signed() + 5_000);
// The margin covers the longest function run and clock skew.
const _: () = assert!(ACTIVE_MARKER_TRUSTED_SECONDS + 5 * 60 < ACTIVE_MARKER_KEPT_SECONDS);
const _: () = assert!(IDEMPOTENCY_KEPT_SECONDS >= 24 * 3_600 && SENDER_SLEEP_MAX_MS < 5_000);

/// A connection's schedule fires within this window, which ends before the refresh is due.
pub const KEEPALIVE_WINDOW_MINUTES: i32 = 15;
/// How many overdue refreshes one run of the sweep reads. It starts with the tokens that expire first.
pub const SWEEP_OVERDUE: usize = 2_000;
/// A run of the sweep ends after this many consecutive rounds without a successful refresh.
pub const SWEEP_FAILED_ROUNDS: u32 = 3;

/// Interval at which a connection's subscription is renewed and its numbers are read again.
pub const CHECK_SECONDS: i64 = 24 * 3_600;
/// First pause after a failed check of a subscription. It doubles …
pub const CHECK_RETRY_SECONDS: i64 = 60;
/// Longest such delay.
pub const CHECK_RETRY_MAX_SECONDS: i64 = 3_600;
/// A subscription that RingCentral grants for less than two intervals is checked after half of its lifetime, but no earlier than
/// after this time.
pub const CHECK_MIN_SECONDS: i64 = 60;
/// Number of concurrent checks of connections.
pub const CHECKS_AT_ONCE: usize = 16;
/// Time budget of one run of renew-subscriptions; its timeout is 300 s (template.yaml).
pub const CHECKS_MS: i64 = 240_000;
/// How long the verification token of a replaced subscription stays valid.
pub const PREVIOUS_TOKEN_SECONDS: i64 = 10 * 60;

const _: () = assert!(2 * CHECK_SECONDS * 6 / 5 < SUBSCRIPTION_SECONDS);
const _: () = assert!(CHECK_RETRY_MAX_SECONDS < CHECK_SECONDS);
const _: () = assert!(CHECKS_MS + 3 * SETUP_IN_CALLBACK_MS.cast_signed() < 300_000);
