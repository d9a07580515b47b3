//! The AWS endpoints: every service on one address, told apart by the request, with a call log, faults and the rights of
//! each function's role.

pub mod calls;
pub mod control;
pub mod dynamodb;
pub mod engine;
pub mod expression;
pub mod faults;
pub mod iam;
pub mod kms;
pub mod lambda;
pub mod request;
pub mod rights;
pub mod scheduler;
pub mod secrets;
pub mod sqs;
pub mod streams;

use crate::clock::Clock;
use crate::functions::Functions;
use crate::server::{self, Answer, Call};
use calls::CallLog;
use faults::{Act, Faults};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use request::{Request, Service};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::JoinSet;

/// DynamoDB takes bodies of up to 16 MB.
pub const LARGEST_REQUEST: usize = 16 * 1024 * 1024;

/// Why a call is refused, in the words of AWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Name of the exception.
    pub code: String,
    /// Text.
    pub message: String,
}

impl Refusal {
    /// A refusal with the status 400, as most are.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self::with_status(400, code, message)
    }

    /// A refusal with a status.
    #[must_use]
    pub fn with_status(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// The answer, readable by the JSON and the REST protocols alike.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut answer = amazon_json(
            status,
            &json!({ "__type": self.code, "message": self.message, "Message": self.message }),
        );
        if let Ok(code) = HeaderValue::from_str(&self.code) {
            answer.headers_mut().insert("x-amzn-errortype", code);
        }
        answer
    }
}

/// An answer of the AWS JSON protocols.
#[must_use]
pub fn amazon_json(status: StatusCode, value: &Value) -> Answer {
    let mut answer = server::body(status, "application/x-amz-json-1.0", value.to_string());
    if let Ok(id) = uuid::Uuid::new_v4().to_string().parse() {
        answer.headers_mut().insert("x-amzn-requestid", id);
    }
    answer
}

/// The AWS part of the stack.
pub struct Aws {
    /// The call log.
    pub calls: CallLog,
    /// The faults.
    pub faults: Faults,
    /// DynamoDB.
    pub dynamodb: dynamodb::DynamoDb,
    /// KMS.
    pub kms: engine::AnyKms,
    /// Secrets Manager.
    pub secrets: secrets::Secrets,
    /// EventBridge Scheduler.
    pub scheduler: scheduler::Scheduler,
    /// SQS.
    pub sqs: Arc<sqs::Sqs>,
    /// The queues that feed functions.
    pub feeds: Vec<Arc<sqs::feed::Mapping>>,
    /// The streams that feed functions.
    pub streams: Vec<Arc<streams::Mapping>>,
    /// How far they have come.
    pub positions: streams::Positions,
    /// Lambda's queue of asynchronous calls.
    pub lambda: lambda::Lambda,
    /// What the functions may do.
    pub iam: iam::Iam,
    /// Partition keys, which rights can be about.
    pub partition_keys: rights::PartitionKeys,
    /// Held while the clock is moved: what falls due by that is fired by whoever moves it, in order.
    pub moving: tokio::sync::Mutex<()>,
    /// The clock of the stack.
    pub clock: Clock,
    /// The functions; they need the address of this part, so they come after it.
    pub functions: OnceLock<Functions>,
}

impl Aws {
    /// Answers a request.
    pub async fn answer(self: &Arc<Self>, call: Call) -> Answer {
        if call.uri.path().starts_with("/_aws/") {
            return control::answer(self, &call).await;
        }
        let request = match Request::read(call) {
            Ok(request) => request,
            Err(refusal) => return refusal.answer(),
        };
        let mut entry = self.calls.begin(&request);
        let answer = match self.authorize(&request) {
            Ok(()) => self.act(&request).await,
            Err(refusal) => refusal.answer(),
        };
        entry.finish(&answer);
        answer
    }

    /// A function may do what its role allows; anybody else on this machine is the administrator.
    fn authorize(&self, request: &Request) -> Result<(), Refusal> {
        match &request.function {
            Some(function) => self.iam.check(function, &rights::needs(self, request)),
            None => Ok(()),
        }
    }

    /// Applies the first fault that matches, around the real thing.
    async fn act(&self, request: &Request) -> Answer {
        match self.faults.next(request) {
            None => self.perform(request).await,
            Some(Act::Error { code, status, message }) => {
                Refusal::with_status(status, &code, message).answer()
            }
            Some(Act::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                self.perform(request).await
            }
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::ApplyThenDrop) => {
                self.perform(request).await;
                server::dropped()
            }
            Some(Act::KillBefore) => {
                self.kill_caller(request);
                server::dropped()
            }
            Some(Act::KillAfter) => {
                self.perform(request).await;
                self.kill_caller(request);
                server::dropped()
            }
        }
    }

    fn kill_caller(&self, request: &Request) {
        if let (Some(functions), Some(instance)) = (self.functions.get(), request.instance) {
            functions.kill_instance(instance);
        }
    }

    async fn perform(&self, request: &Request) -> Answer {
        let result = match request.service {
            Service::DynamoDb => self.dynamodb.answer(request).await,
            Service::Kms => self.kms.answer(&request.operation, &request.input).await.map(|value| ok(&value)),
            Service::SecretsManager => self
                .secrets
                .answer(&request.operation, &request.input, self.clock.now())
                .map(|value| ok(&value)),
            Service::Sqs => self.sqs.answer(&request.operation, &request.input).await.map(|value| ok(&value)),
            Service::Scheduler => self.scheduler.answer(request, self.clock.now()).map(|value| ok(&value)),
            Service::Lambda => match self.functions.get() {
                Some(functions) => self.lambda.answer(request, functions, self.clock.now()).await,
                None => Err(Refusal::with_status(404, "ResourceNotFoundException", "no functions run here")),
            },
        };
        result.unwrap_or_else(|refusal| refusal.answer())
    }

    /// Fires what is due by the stack's clock and waits for it: schedules in time order, then calls to repeat.
    /// Answers the names of the schedules.
    pub async fn fire_due(self: &Arc<Self>) -> Vec<String> {
        let Some(functions) = self.functions.get() else { return Vec::new() };
        let mut fired = Vec::new();
        for due in self.scheduler.take_due(self.clock.now()) {
            fired.push(due.name.clone());
            self.deliver(functions, due.into_call()).await;
        }
        fired
    }

    /// Calls the target of a schedule, or repeats an asynchronous call. False: it failed.
    pub async fn deliver(&self, functions: &Functions, call: lambda::AsyncCall) -> bool {
        if call.function.starts_with("arn:aws:sqs:") {
            let sent = self.sqs.send(&call.function, &String::from_utf8_lossy(&call.payload));
            return sent.is_ok();
        }
        match self.lambda.run(functions, call, self.clock.now()).await {
            lambda::Outcome::Done => return true,
            lambda::Outcome::Waits => {}
            lambda::Outcome::GivenUp(call) => {
                if let Some(queue) = &call.dead_letters {
                    let _ = self.sqs.send(queue, &String::from_utf8_lossy(&call.payload));
                }
            }
        }
        false
    }

    /// Waits until nothing is left to do by itself: no invocation, no asynchronous call that is due, no message and no
    /// record of a stream that a function could have now.
    pub async fn settle(self: &Arc<Self>) {
        let Some(functions) = self.functions.get() else { return };
        loop {
            functions.idle().await;
            let calls = self.lambda.take_due(self.clock.now());
            if calls.is_empty() && functions.is_idle() && self.is_fed() {
                return;
            }
            for call in calls {
                self.deliver(functions, call).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether no queue and no stream has something for a function now.
    fn is_fed(&self) -> bool {
        let (told, now) = (self.dynamodb.told(), self.clock.now());
        self.feeds.iter().all(|feed| feed.is_idle(&self.sqs))
            && self.streams.iter().all(|stream| stream.is_idle(told, now))
    }

    /// Feeds functions from queues and streams, and looks every now and then what is due. Runs until it is dropped.
    pub async fn tick(self: Arc<Self>) {
        const PERIOD: Duration = Duration::from_millis(250);
        const SWEEP_EVERY: u32 = 240;
        const REAP_EVERY: u32 = 40;
        let mut ticks = 0_u32;
        let mut feeding = JoinSet::new();
        if let Some(functions) = self.functions.get() {
            for feed in &self.feeds {
                feeding.spawn(Arc::clone(feed).run(Arc::clone(&self.sqs), functions.clone()));
            }
            for stream in &self.streams {
                feeding.spawn(Arc::clone(stream).run(Arc::clone(&self)));
            }
        }
        loop {
            tokio::time::sleep(PERIOD).await;
            ticks = ticks.wrapping_add(1);
            if ticks.is_multiple_of(SWEEP_EVERY) {
                self.dynamodb.sweep(self.clock.now()).await;
            }
            let Some(functions) = self.functions.get() else { continue };
            if ticks.is_multiple_of(REAP_EVERY) {
                functions.reap();
            }
            let Ok(still) = self.moving.try_lock() else { continue };
            let calls = self.scheduler.take_due(self.clock.now()).into_iter().map(scheduler::Due::into_call);
            let calls: Vec<lambda::AsyncCall> = calls.chain(self.lambda.take_due(self.clock.now())).collect();
            drop(still);
            for call in calls {
                let (aws, functions) = (Arc::clone(&self), functions.clone());
                tokio::spawn(async move {
                    aws.deliver(&functions, call).await;
                });
            }
        }
    }
}

fn ok(value: &Value) -> Answer {
    amazon_json(StatusCode::OK, value)
}
