//! The process of a function: builds one [`Gateway`], then handles one event after another.
//!
//! `main` of each function is one call of one of these, by how the function is started: [`http()`], [`bare_http`] and
//! [`offline_http`] by API Gateway, [`queue`] by SQS, [`event`] and [`invocation`] by EventBridge Scheduler, a DynamoDB stream,
//! several sources or another function.

use futures_util::future::BoxFuture;
use lambda_http::{Body, Context, LambdaEvent, Request, Response, lambda_runtime, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tracing::Span;
use tracing::field::Empty;

use crate::batch;
use crate::config::Config;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::http::route::IdempotencyKey;
use crate::http::{self, HandlerResult, RequestRules};
use crate::limits;
use crate::quarantine;
use crate::span;
use crate::store::UnreadableRow;
use crate::telemetry::{self, Unit};

/// What `main` returns.
pub type ProcessResult = std::result::Result<(), lambda_http::Error>;

/// An event with the time that is left to handle it.
#[derive(Debug)]
pub struct Invocation<T> {
    pub payload: T,
    /// When Lambda ends the invocation, in milliseconds since the epoch.
    pub deadline_ms: u64,
}

/// Serves an HTTP route; the log shows `route`, its method and path. Errors become responses, and every response gets its request id and security headers.
pub fn http<F>(
    route: &'static str,
    idempotency_key: IdempotencyKey,
    handle: impl Fn(&'static Gateway, Request) -> F + Send + Sync + 'static,
) -> ProcessResult
where
    F: Future<Output = HandlerResult> + Send + 'static,
{
    http_with_body(route, idempotency_key, limits::BODY_BYTES, handle)
}

/// Serves an HTTP route that accepts bodies of up to `body_bytes`.
pub fn http_with_body<F>(
    route: &'static str,
    idempotency_key: IdempotencyKey,
    body_bytes: usize,
    handle: impl Fn(&'static Gateway, Request) -> F + Send + Sync + 'static,
) -> ProcessResult
where
    F: Future<Output = HandlerResult> + Send + 'static,
{
    let rules = RequestRules { idempotency_key, body_bytes };
    serve_http(route, rules, &move |gateway, request| Box::pin(handle(gateway, request)))
}

/// Serves an HTTP route whose responses carry no header but those that the handler sets.
pub fn bare_http<F>(
    route: &'static str,
    handle: impl Fn(&'static Gateway, Request) -> F + Send + Sync + 'static,
) -> ProcessResult
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    serve_bare_http(route, &move |gateway, request| Box::pin(handle(gateway, request)))
}

/// Serves an HTTP route whose handler calls no other service. Without a [`Gateway`], a cold start reads no certificates and builds no
/// AWS client.
pub fn offline_http<F>(
    route: &'static str,
    idempotency_key: IdempotencyKey,
    handle: impl Fn(&'static Config, Request) -> F + Send + Sync + 'static,
) -> ProcessResult
where
    F: Future<Output = HandlerResult> + Send + 'static,
{
    let rules = RequestRules { idempotency_key, body_bytes: limits::BODY_BYTES };
    serve_offline_http(route, rules, &move |config, request| Box::pin(handle(config, request)))
}

/// A handler of any function. With it, the Lambda runtime is compiled once, in this crate, rather than in each function.
type Handler<R, C = Gateway> = dyn Fn(&'static C, Request) -> BoxFuture<'static, R> + Send + Sync;

fn serve_http(route: &'static str, rules: RequestRules, handle: &Handler<HandlerResult>) -> ProcessResult {
    serve_with_gateway(async |gateway| {
        let respond = async |event: LambdaEvent<Box<RawValue>>| {
            let (request, outcome) = http::event::request(&event.payload, event.context);
            let handle = |request| async move {
                outcome?;
                let handled = handle(gateway, request).await;
                let rows = count_unreadable_rows(gateway);
                quarantine::report_unreadable_rows(gateway, rows).await;
                handled
            };
            http::respond(route, rules, request, handle).await.map(http::event::payload)
        };
        lambda_runtime::run(service_fn(respond)).await
    })
}

fn serve_offline_http(
    route: &'static str,
    rules: RequestRules,
    handle: &Handler<HandlerResult, Config>,
) -> ProcessResult {
    serve(async |config| {
        let config: &'static Config = Box::leak(Box::new(config));
        let respond = async |event: LambdaEvent<Box<RawValue>>| {
            let (request, outcome) = http::event::request(&event.payload, event.context);
            let handle = |request| async move {
                outcome?;
                handle(config, request).await
            };
            http::respond(route, rules, request, handle).await.map(http::event::payload)
        };
        lambda_runtime::run(service_fn(respond)).await
    })
}

fn serve_bare_http(route: &'static str, handle: &Handler<Response<Body>>) -> ProcessResult {
    serve_with_gateway(async |gateway| {
        let respond = async |event: LambdaEvent<Box<RawValue>>| {
            let (request, outcome) = http::event::request(&event.payload, event.context);
            let (id, span) = (http::RequestId::from(&request), http::request_span(route, &request));
            let response = async {
                match outcome {
                    Ok(()) => handle(gateway, request).await,
                    Err(_) => http::bad_request(),
                }
            };
            let response = span::in_request(id.into(), span, response).await;
            Ok::<_, lambda_runtime::Error>(http::event::payload(response))
        };
        lambda_runtime::run(service_fn(respond)).await
    })
}

/// Handles the messages of an SQS queue. One that fails is received again and does not stop the others.
pub fn queue<T, F>(handle: impl Fn(&'static Gateway, T) -> F + Copy + 'static) -> ProcessResult
where
    T: DeserializeOwned,
    F: Future<Output = Result<()>>,
{
    event(move |gateway, batch| async move {
        Ok(batch::process_sqs_batch(batch, async |message| handle(gateway, message).await).await)
    })
}

/// Handles single events.
pub fn event<T, R, F>(handle: impl Fn(&'static Gateway, T) -> F + Copy + 'static) -> ProcessResult
where
    T: DeserializeOwned,
    R: Serialize,
    F: Future<Output = Result<R>>,
{
    invocation(move |gateway, invocation: Invocation<T>| handle(gateway, invocation.payload))
}

/// Handles single events that need to know their deadline.
pub fn invocation<T, R, F>(
    handle: impl Fn(&'static Gateway, Invocation<T>) -> F + Copy + 'static,
) -> ProcessResult
where
    T: DeserializeOwned,
    R: Serialize,
    F: Future<Output = Result<R>>,
{
    serve_with_gateway(async |gateway| {
        let respond = async |event: LambdaEvent<T>| {
            let (id, span) = (event.context.request_id.clone(), invocation_span(&event.context));
            let deadline_ms = event.context.deadline;
            let handled = async {
                let handled = handle(gateway, Invocation { payload: event.payload, deadline_ms }).await;
                let rows = count_unreadable_rows(gateway);
                quarantine::add_unreadable_rows(gateway, &rows).await;
                handled
            };
            span::in_request(id, span, handled).await.map_err(lambda_runtime::Error::from)
        };
        lambda_runtime::run(service_fn(respond)).await
    })
}

/// Counts the unreadable rows that the invocation has found and passed, and returns them.
fn count_unreadable_rows(gateway: &Gateway) -> Vec<UnreadableRow> {
    let rows = gateway.store.take_unreadable_rows();
    if !rows.is_empty() {
        #[expect(clippy::cast_precision_loss, reason = "the number of rows is limited")]
        let count = rows.len() as f64;
        telemetry::metrics(gateway, &[("UnreadableRows", Unit::Count, count)]);
    }
    rows
}

/// The span of an invocation, whose fields every log line carries. `batch` opens another for each record.
fn invocation_span(context: &Context) -> Span {
    tracing::error_span!(
        "invocation",
        request.id = context.request_id,
        function = context.env_config.function_name,
        caller.request.id = Empty,
        tenant.id = Empty,
        message.id = Empty,
    )
}

fn serve_with_gateway(run: impl AsyncFnOnce(&'static Gateway) -> ProcessResult) -> ProcessResult {
    serve(async |config| {
        // It lives as long as the process.
        let gateway: &'static Gateway = Box::leak(Box::new(Gateway::of(config)));
        run(gateway).await
    })
}

/// Lambda gives a process one event at a time, so one thread is enough.
fn serve(run: impl AsyncFnOnce(Config) -> ProcessResult) -> ProcessResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = Config::from_env()?;
        telemetry::init(&config.log_level);
        run(config).await
    })
}
