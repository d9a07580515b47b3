//! The functions of the template. Each has a pool of instances: the first request starts one, overlapping requests start
//! more, and instances that exited or have an outdated clock are replaced.

use crate::aws::cloudwatch::CloudWatch;
use crate::instance::{Instance, InstanceSettings, InstanceState, InvocationError, RunningProcesses};
use crate::logs::FunctionLogs;
use crate::names;
use crate::runtime_api::RuntimeInvocation;
use crate::template::{FunctionResource, Template};
use bytes::Bytes;
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout};

/// Concurrent instances of a function without `ReservedConcurrentExecutions`.
pub const DEFAULT_INSTANCES: usize = 10;

/// An instance that has responded is usually idle again within a millisecond, on a busy machine later. Waiting for it is
/// cheaper than a cold start.
const REUSE_WAIT: Duration = Duration::from_millis(500);
/// Idle instances are stopped after this time. Lambda does so after some minutes.
const IDLE_LIFETIME: Duration = Duration::from_secs(120);
/// Of more idle instances than this, only the most recently used stay. It keeps an idle stack below 400 MB of memory.
const MAX_IDLE_INSTANCES: usize = 16;

/// Clones share the processes.
#[derive(Clone)]
pub struct FunctionPools {
    inner: Arc<Inner>,
}

struct Inner {
    settings: InstanceSettings,
    logs: FunctionLogs,
    cloudwatch: CloudWatch,
    pools: BTreeMap<String, Arc<Pool>>,
    next_number: AtomicU64,
    generation: AtomicU64,
    running: watch::Sender<usize>,
    processes: RunningProcesses,
    stopped: AtomicBool,
}

struct Pool {
    function: FunctionResource,
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<Instance>>,
    /// Instances that have responded, but have not yet requested their next invocation.
    finishing: Mutex<usize>,
    finished: Notify,
}

impl FunctionPools {
    /// Starts no process. A function without a reserved concurrency has at most `instances` processes at once.
    #[must_use]
    pub fn new(
        template: &Template,
        settings: InstanceSettings,
        instances: usize,
        logs: FunctionLogs,
        cloudwatch: CloudWatch,
    ) -> Self {
        let pools = template.functions.iter().map(|function| {
            let slots = function.reserved_concurrency.unwrap_or(instances);
            let pool = Pool {
                function: function.clone(),
                slots: Arc::new(Semaphore::new(slots)),
                idle: Mutex::default(),
                finishing: Mutex::default(),
                finished: Notify::new(),
            };
            (function.binary.clone(), Arc::new(pool))
        });
        Self {
            inner: Arc::new(Inner {
                settings,
                logs,
                cloudwatch,
                pools: pools.collect(),
                next_number: AtomicU64::new(1),
                generation: AtomicU64::new(1),
                running: watch::Sender::new(0),
                processes: RunningProcesses::default(),
                stopped: AtomicBool::new(false),
            }),
        }
    }

    /// Finds a function by the name of its folder, its `FunctionName` or its ARN.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&FunctionResource> {
        let name = name.rsplit_once(":function:").map_or(name, |(_, name)| name);
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        let pools = &self.inner.pools;
        let pool = pools.get(name).or_else(|| pools.values().find(|pool| pool.function.name == name));
        pool.map(|pool| &pool.function)
    }

    /// Invokes a function and waits for its response. At `ReservedConcurrentExecutions` it is throttled at once, as on
    /// Lambda. `capacity_timeout` limits the wait for a free instance of another function, which only this machine needs.
    ///
    /// As on Lambda, the invocation runs to its end even if the caller stops waiting.
    pub async fn invoke(
        &self,
        name: &str,
        payload: Bytes,
        capacity_timeout: Duration,
    ) -> Result<Bytes, InvocationError> {
        let Some(pool) = self.find(name).and_then(|function| self.inner.pools.get(&function.binary)) else {
            return Err(InvocationError::UnknownFunction);
        };
        let (reply, response) = oneshot::channel();
        let (inner, pool) = (Arc::clone(&self.inner), Arc::clone(pool));
        let is_reserved = pool.function.reserved_concurrency.is_some();
        let capacity_timeout = if is_reserved { Duration::ZERO } else { capacity_timeout };
        inner.running.send_modify(|running| *running += 1);
        tokio::spawn(async move {
            let _running = RunningInvocation(Arc::clone(&inner));
            let slot = timeout(capacity_timeout, Arc::clone(&pool.slots).acquire_owned()).await;
            let Ok(Ok(slot)) = slot else {
                inner.cloudwatch.throttle(&pool.function.name);
                let _ = reply.send(Err(InvocationError::NoCapacity));
                return;
            };
            run(&inner, &pool, slot, payload, reply).await;
        });
        response.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Kills the instance with this number, even during an invocation.
    pub fn kill_instance(&self, number: u64) {
        self.inner.processes.kill(number);
    }

    /// Waits until no invocation runs.
    pub async fn wait_until_idle(&self) {
        let _ = self.inner.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Whether no invocation runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self.inner.running.borrow() == 0
    }

    /// Stops every idle instance; busy ones stop after their invocation. New instances start with the current clock.
    pub fn restart(&self) {
        self.inner.generation.fetch_add(1, Ordering::SeqCst);
        for pool in self.inner.pools.values() {
            lock(&pool.idle).clear();
        }
    }

    /// Stops instances that have been idle for long, and the least recently used if too many are idle.
    pub fn stop_idle_instances(&self) {
        let pools = || self.inner.pools.values();
        let mut used: Vec<Instant> = pools()
            .flat_map(|pool| lock(&pool.idle).iter().map(|i| i.last_used).collect::<Vec<_>>())
            .collect();
        used.sort_unstable();
        let oldest = used.iter().nth_back(MAX_IDLE_INSTANCES - 1).copied();
        for pool in pools() {
            lock(&pool.idle).retain(|instance| {
                instance.last_used.elapsed() < IDLE_LIFETIME
                    && oldest.is_none_or(|oldest| instance.last_used >= oldest)
            });
        }
    }

    /// Kills every process and starts no more.
    pub fn stop(&self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
        for pool in self.inner.pools.values() {
            pool.slots.close();
        }
        self.restart();
        self.inner.processes.kill_all();
    }
}

/// Counts an invocation until it has ended.
struct RunningInvocation(Arc<Inner>);

impl Drop for RunningInvocation {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

type Reply = oneshot::Sender<Result<Bytes, InvocationError>>;

async fn run(inner: &Arc<Inner>, pool: &Pool, slot: OwnedSemaphorePermit, payload: Bytes, reply: Reply) {
    let mut instance = match ready_instance(inner, pool).await {
        Ok(instance) => instance,
        Err(error) => {
            log_error(inner, pool, &error);
            inner.cloudwatch.invocation(&pool.function.name, error.report_status());
            drop(slot);
            let _ = reply.send(Err(error));
            return;
        }
    };
    let limit = pool.function.timeout;
    let now = inner.settings.clock.now();
    let deadline =
        SignedDuration::try_from(limit).ok().and_then(|limit| now.checked_add(limit).ok()).unwrap_or(now);
    let invocation = RuntimeInvocation {
        request_id: uuid::Uuid::new_v4().to_string(),
        payload,
        deadline_ms: deadline.as_millisecond(),
        function_arn: names::function_arn(&pool.function.name),
    };
    let result = instance.invoke(invocation, limit).await;
    if let Err(error) = &result {
        log_error(inner, pool, error);
    }
    let status = result.as_ref().map_or_else(InvocationError::report_status, |_| "success");
    inner.cloudwatch.invocation(&pool.function.name, status);
    *lock(&pool.finishing) += 1;
    // Before the response, so that this invocation does not throttle the caller's next one. Others may wait for the instance.
    let _slot = pool.function.reserved_concurrency.is_none().then_some(slot);
    let _ = reply.send(result);
    let reusable = instance.is_alive() && instance.finish(limit).await == InstanceState::Ready;
    let current = instance.generation == inner.generation.load(Ordering::SeqCst);
    if reusable && current && !inner.stopped.load(Ordering::SeqCst) {
        instance.last_used = Instant::now();
        lock(&pool.idle).push(instance);
    }
    *lock(&pool.finishing) -= 1;
    pool.finished.notify_waiters();
}

/// An idle instance, one that is about to be idle, or a new one.
async fn ready_instance(inner: &Arc<Inner>, pool: &Pool) -> Result<Instance, InvocationError> {
    if let Some(instance) = take_idle(pool) {
        return Ok(instance);
    }
    let finished = pool.finished.notified();
    tokio::pin!(finished);
    finished.as_mut().enable();
    if *lock(&pool.finishing) > 0 {
        let _ = timeout(REUSE_WAIT, finished).await;
    }
    if let Some(instance) = take_idle(pool) {
        return Ok(instance);
    }
    if inner.stopped.load(Ordering::SeqCst) {
        return Err(stopping());
    }
    let number = inner.next_number.fetch_add(1, Ordering::SeqCst);
    let generation = inner.generation.load(Ordering::SeqCst);
    Instance::start(&pool.function, &inner.settings, number, generation, &inner.logs, &inner.processes).await
}

fn stopping() -> InvocationError {
    InvocationError::runtime("Runtime.ExitError", "the stack is stopping")
}

fn take_idle(pool: &Pool) -> Option<Instance> {
    loop {
        let mut instance = lock(&pool.idle).pop()?;
        if instance.is_alive() {
            return Some(instance);
        }
    }
}

fn log_error(inner: &Inner, pool: &Pool, error: &InvocationError) {
    if let InvocationError::Function(document) = error {
        let line = format!("invocation failed: {}", String::from_utf8_lossy(document));
        inner.logs.add(&pool.function.binary, &line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
