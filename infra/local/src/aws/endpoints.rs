//! All AWS services on one address. Each request is logged, checked against the policies of the calling function, and
//! subject to faults. Queues, streams and schedules call functions in the background.

use super::calls::CallLog;
use super::error::{AwsError, amazon_json};
use super::faults::{AwsFaultAction, AwsFaults};
use super::iam::FunctionPolicies;
use super::lambda::{AsyncInvocation, AsyncOutcome, DiscardedInvocation};
use super::permissions::{self, PartitionKeys};
use super::request::{AwsCall, AwsService};
use super::scheduler::{DueSchedule, TargetDelivery};
use super::services::AwsServices;
use super::sqs::mapping::QueueMapping;
use super::streams::mapping::StreamMapping;
use crate::functions::FunctionPools;
use crate::server::{self, HttpRequest, HttpResponse};
use anyhow::{Result, anyhow};
use hyper::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// DynamoDB's limit for request bodies.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// The caller's name in faults of EventBridge Scheduler's own calls.
const SCHEDULER: &str = "scheduler";

pub struct AwsEndpoints {
    pub services: Arc<AwsServices>,
    pub calls: CallLog,
    pub faults: AwsFaults,
    pub policies: FunctionPolicies,
    pub partition_keys: PartitionKeys,
    pub queue_mappings: Vec<Arc<QueueMapping>>,
    pub stream_mappings: Vec<Arc<StreamMapping>>,
    /// Held while the clock moves. The task that moves it fires what became due, in order.
    pub clock_lock: Mutex<()>,
}

impl AwsEndpoints {
    pub async fn handle(&self, request: HttpRequest) -> HttpResponse {
        let request = match AwsCall::read(request) {
            Ok(request) => request,
            Err(error) => return error.response(),
        };
        let mut entry = self.calls.begin(&request);
        let response = match self.authorize(&request) {
            Ok(()) => self.apply_with_faults(&request).await,
            Err(error) => request.error_response(&error),
        };
        entry.finish(&response);
        response
    }

    /// A function may do what its role allows. Other callers on this machine are administrators.
    fn authorize(&self, request: &AwsCall) -> Result<(), AwsError> {
        match &request.function {
            // S3 checks the permissions after the signature.
            Some(_) if request.service == AwsService::S3 => Ok(()),
            Some(function) => {
                let required = permissions::required(&self.services, &self.partition_keys, request);
                self.policies.check(function, &required)
            }
            None => Ok(()),
        }
    }

    async fn apply_with_faults(&self, request: &AwsCall) -> HttpResponse {
        match self.faults.next(request) {
            None => self.apply(request).await,
            Some(AwsFaultAction::Error { code, status, message }) => {
                request.error_response(&AwsError::with_status(status, &code, message))
            }
            Some(AwsFaultAction::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                self.apply(request).await
            }
            Some(AwsFaultAction::Hang) => std::future::pending().await,
            Some(AwsFaultAction::ApplyThenDrop) => {
                self.apply(request).await;
                server::close_connection()
            }
            Some(AwsFaultAction::KillBefore) => {
                self.kill_caller(request);
                server::close_connection()
            }
            Some(AwsFaultAction::KillAfter) => {
                self.apply(request).await;
                self.kill_caller(request);
                server::close_connection()
            }
        }
    }

    fn kill_caller(&self, request: &AwsCall) {
        if let (Some(functions), Some(instance)) = (self.services.functions.get(), request.instance) {
            functions.kill_instance(instance);
        }
    }

    async fn apply(&self, request: &AwsCall) -> HttpResponse {
        let AwsServices { dynamodb, kms, secrets, scheduler, sqs, s3, lambda, clock, functions, .. } =
            &*self.services;
        let (operation, input) = (request.operation.as_str(), &request.input);
        let result = match request.service {
            AwsService::DynamoDb => {
                let answer = dynamodb.handle(request, clock.now()).await;
                return answer.unwrap_or_else(|error| error.response());
            }
            AwsService::Lambda => {
                let result = match functions.get() {
                    Some(functions) => lambda.handle(request, functions, clock.now()).await,
                    None => Err(AwsError::with_status(
                        404,
                        "ResourceNotFoundException",
                        "this stack runs no functions",
                    )),
                };
                return result.unwrap_or_else(|error| error.response());
            }
            AwsService::S3 => return s3.handle(request).await,
            AwsService::Kms => kms.handle(operation, input).await,
            AwsService::SecretsManager => secrets.handle(operation, input, clock.now()),
            AwsService::Sqs => sqs.handle(operation, input).await,
            AwsService::Scheduler => scheduler.handle(request, clock.now()),
        };
        match result {
            Ok(value) => amazon_json(StatusCode::OK, &value),
            Err(error) => error.response(),
        }
    }

    /// Fires the schedules that are due by the stack's clock, in time order, and waits for their targets. Returns their
    /// names.
    pub async fn fire_due(&self) -> Vec<String> {
        let services = &self.services;
        let Some(functions) = services.functions.get() else { return Vec::new() };
        let mut fired = Vec::new();
        for due in services.scheduler.take_due(services.clock.now()) {
            fired.push(due.name.clone());
            let _ = self.deliver(functions, due.into_delivery()).await;
        }
        fired
    }

    /// Delivers a run of a schedule to its target: a queue, or a function, which Lambda invokes asynchronously. Returns how the
    /// first attempt ended.
    pub async fn deliver(&self, functions: &FunctionPools, delivery: TargetDelivery) -> Result<()> {
        let AwsServices { scheduler, sqs, .. } = &*self.services;
        match self.target(functions, &delivery) {
            Ok(Some(invocation)) => self.run_invocation(functions, invocation).await,
            Ok(None) => Ok(()),
            Err(error) => {
                tracing::warn!(target = delivery.target_arn, error = error.message, "schedule not delivered");
                if let Some(given_up) = scheduler.retry_later(delivery)
                    && let Some(queue) = &given_up.dead_letter_queue
                {
                    let attributes = given_up.dead_letter_attributes(&error);
                    let _ = sqs.send_with_attributes(queue, &given_up.payload, &attributes);
                }
                Err(anyhow!("{}", error.message))
            }
        }
    }

    /// Sends to the target of a schedule. Returns the invocation that Lambda has accepted, if it is a function. Faults of the
    /// scheduler's own call apply.
    fn target(
        &self,
        functions: &FunctionPools,
        delivery: &TargetDelivery,
    ) -> Result<Option<AsyncInvocation>, AwsError> {
        let AwsServices { sqs, clock, .. } = &*self.services;
        let is_queue = delivery.target_arn.starts_with("arn:aws:sqs:");
        let (service, operation) = if is_queue { ("sqs", "SendMessage") } else { ("lambda", "Invoke") };
        if let Some(AwsFaultAction::Error { code, status, message }) =
            self.faults.next_of(service, operation, &[], Some(SCHEDULER))
        {
            return Err(AwsError::with_status(status, &code, message));
        }
        if is_queue {
            return sqs.send(&delivery.target_arn, &delivery.payload).map(|()| None);
        }
        let function = functions.find(&delivery.target_arn).ok_or_else(|| {
            let message = format!("Function not found: {}", delivery.target_arn);
            AwsError::with_status(404, "ResourceNotFoundException", message)
        })?;
        let payload = delivery.payload.clone().into();
        // The clock may have moved past it. Its retries and its age begin when it was due.
        Ok(Some(AsyncInvocation::accept(function, payload, delivery.due().min(clock.now()))))
    }

    /// Tries an invocation of Lambda's internal queue. If it is discarded, the function's destination gets a record of it.
    async fn run_invocation(&self, functions: &FunctionPools, invocation: AsyncInvocation) -> Result<()> {
        let AwsServices { sqs, lambda, clock, .. } = &*self.services;
        match lambda.run(functions, invocation, clock.now()).await {
            AsyncOutcome::Succeeded => return Ok(()),
            AsyncOutcome::RetryScheduled => {}
            AsyncOutcome::Discarded(DiscardedInvocation { destination, record }) => {
                if let Some(queue) = destination
                    && let Err(error) = sqs.send(&queue, &record.to_string())
                {
                    tracing::warn!(queue, error = error.message, "a discarded invocation was not recorded");
                }
            }
        }
        Err(anyhow!("the invocation failed"))
    }

    /// Waits until no invocation runs, no asynchronous invocation is due, and no queue message or stream record can be
    /// delivered to a function now.
    pub async fn wait_until_idle(&self) {
        let AwsServices { scheduler, lambda, clock, functions, .. } = &*self.services;
        let Some(functions) = functions.get() else { return };
        loop {
            functions.wait_until_idle().await;
            let undelivered = scheduler.take_undelivered(clock.now());
            let due = lambda.take_due(clock.now());
            if undelivered.is_empty() && due.is_empty() && functions.is_idle() && self.mappings_are_idle() {
                return;
            }
            for delivery in undelivered {
                let _ = self.deliver(functions, delivery).await;
            }
            for invocation in due {
                let _ = self.run_invocation(functions, invocation).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Records the metrics of the queues, and evaluates the alarms.
    pub fn measure(&self) {
        let AwsServices { sqs, cloudwatch, .. } = &*self.services;
        for (name, visible, oldest_seconds) in sqs.measure() {
            cloudwatch.queue(&name, visible, oldest_seconds);
        }
        cloudwatch.evaluate();
    }

    /// Whether no queue and no stream has something to deliver now.
    fn mappings_are_idle(&self) -> bool {
        let AwsServices { dynamodb, sqs, clock, .. } = &*self.services;
        let (writes, now) = (dynamodb.stream_writes(), clock.now());
        self.queue_mappings.iter().all(|mapping| mapping.is_idle(sqs))
            && self.stream_mappings.iter().all(|mapping| mapping.is_idle(writes, now))
    }

    /// Delivers queue messages and stream records, fires schedules, repeats failed asynchronous invocations, deletes
    /// expired items and stops idle instances. Runs until it is dropped.
    pub async fn run(self: Arc<Self>) {
        const PERIOD: Duration = Duration::from_millis(250);
        const DELETE_EXPIRED_EVERY: u32 = 240;
        const STOP_IDLE_EVERY: u32 = 40;
        let AwsServices { scheduler, sqs, lambda, clock, functions, .. } = &*self.services;
        let (mut ticks, mut measured) = (0_u32, 0);
        let mut mappings = JoinSet::new();
        if let Some(functions) = functions.get() {
            for mapping in &self.queue_mappings {
                mappings.spawn(Arc::clone(mapping).run(Arc::clone(sqs), functions.clone()));
            }
            for mapping in &self.stream_mappings {
                mappings.spawn(Arc::clone(mapping).run(Arc::clone(&self.services)));
            }
        }
        loop {
            tokio::time::sleep(PERIOD).await;
            ticks = ticks.wrapping_add(1);
            let minute = clock.now().as_second().div_euclid(60);
            if minute != measured {
                measured = minute;
                self.measure();
            }
            if ticks.is_multiple_of(DELETE_EXPIRED_EVERY) {
                self.services.delete_expired().await;
            }
            let Some(functions) = functions.get() else { continue };
            if ticks.is_multiple_of(STOP_IDLE_EVERY) {
                functions.stop_idle_instances();
            }
            let Ok(locked) = self.clock_lock.try_lock() else { continue };
            let due = scheduler.take_due(clock.now()).into_iter().map(DueSchedule::into_delivery);
            let due: Vec<TargetDelivery> = due.chain(scheduler.take_undelivered(clock.now())).collect();
            let invocations = lambda.take_due(clock.now());
            drop(locked);
            for delivery in due {
                let (endpoints, functions) = (Arc::clone(&self), functions.clone());
                tokio::spawn(async move {
                    let _ = endpoints.deliver(&functions, delivery).await;
                });
            }
            for invocation in invocations {
                let (endpoints, functions) = (Arc::clone(&self), functions.clone());
                tokio::spawn(async move {
                    let _ = endpoints.run_invocation(&functions, invocation).await;
                });
            }
        }
    }
}
