//! The functions as processes: started on the first request, several at a time when requests overlap, replaced when
//! they end or when the clock was moved.

use crate::clock::Clock;
use crate::instance::{self, Instance, Pids};
use crate::logs::Logs;
use crate::names;
use crate::runtime_api::Invocation;
use crate::template::{Function, Template};
use bytes::Bytes;
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout};

/// Instances of one function that may run at a time, unless the template reserves a number.
pub const DEFAULT_INSTANCES: usize = 10;

/// An instance that has answered asks for more within a millisecond, on a busy machine later; waiting beats a cold start.
const SETTLING_TIME: Duration = Duration::from_millis(500);
/// An instance that nobody needed for so long is ended, as Lambda does after some minutes.
const IDLE_LIFE: Duration = Duration::from_secs(120);
/// Of more idle instances than this, those that were used last stay: an idle stack keeps below 400 MB, whatever the
/// number of functions.
const KEPT_WARM: usize = 16;

/// What every instance is started with.
#[derive(Clone)]
pub struct Settings {
    /// The folder with the binaries.
    pub binaries: PathBuf,
    /// Functions whose code does not build; an old binary of theirs must not answer.
    pub unbuilt: BTreeSet<String>,
    /// Address of the AWS endpoints.
    pub aws_url: String,
    /// The clock of the stack.
    pub clock: Clock,
}

/// Why an invocation has no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// There is no such function.
    Unknown,
    /// No instance became free in time.
    Busy,
    /// The function, or its process, failed: an error document.
    Function(Bytes),
}

impl Failure {
    /// A failure of the process rather than of the function's code.
    #[must_use]
    pub fn runtime(kind: &str, message: &str) -> Self {
        Self::Function(instance::error_document(kind, message))
    }
}

/// All functions of the template. Copies share the processes.
#[derive(Clone)]
pub struct Functions {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    logs: Logs,
    pools: BTreeMap<String, Arc<Pool>>,
    next_number: AtomicU64,
    generation: AtomicU64,
    running: watch::Sender<usize>,
    pids: Pids,
    stopped: AtomicBool,
}

struct Pool {
    function: Function,
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<Instance>>,
    settling: Mutex<usize>,
    settled: Notify,
}

impl Functions {
    /// Knows the functions; starts none.
    #[must_use]
    pub fn new(template: &Template, settings: Settings, logs: Logs) -> Self {
        let pools = template.functions.iter().map(|function| {
            let slots = function.reserved_concurrency.unwrap_or(DEFAULT_INSTANCES);
            let pool = Pool {
                function: function.clone(),
                slots: Arc::new(Semaphore::new(slots)),
                idle: Mutex::default(),
                settling: Mutex::default(),
                settled: Notify::new(),
            };
            (function.binary.clone(), Arc::new(pool))
        });
        Self {
            inner: Arc::new(Inner {
                settings,
                logs,
                pools: pools.collect(),
                next_number: AtomicU64::new(1),
                generation: AtomicU64::new(1),
                running: watch::Sender::new(0),
                pids: Pids::default(),
                stopped: AtomicBool::new(false),
            }),
        }
    }

    /// The function with this name: that of its folder, its full one, or its ARN.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Function> {
        let name = name.rsplit_once(":function:").map_or(name, |(_, name)| name);
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        let pools = &self.inner.pools;
        let pool = pools.get(name).or_else(|| pools.values().find(|pool| pool.function.name == name));
        pool.map(|pool| &pool.function)
    }

    /// Calls a function and waits for its answer; `patience` is how long to wait for a free instance.
    ///
    /// The invocation runs to its end even if nobody waits any more, as on Lambda.
    pub async fn invoke(&self, name: &str, payload: Bytes, patience: Duration) -> Result<Bytes, Failure> {
        let Some(pool) = self.find(name).and_then(|function| self.inner.pools.get(&function.binary)) else {
            return Err(Failure::Unknown);
        };
        let (reply, answer) = oneshot::channel();
        let (inner, pool) = (Arc::clone(&self.inner), Arc::clone(pool));
        inner.running.send_modify(|running| *running += 1);
        tokio::spawn(async move {
            let _running = Running(Arc::clone(&inner));
            let Ok(Ok(slot)) = timeout(patience, Arc::clone(&pool.slots).acquire_owned()).await else {
                let _ = reply.send(Err(Failure::Busy));
                return;
            };
            run(&inner, &pool, slot, payload, reply).await;
        });
        answer.await.unwrap_or_else(|_| Err(Failure::runtime("Runtime.ExitError", "the stack is stopping")))
    }

    /// Kills the instance with this number, in the middle of whatever it does.
    pub fn kill_instance(&self, number: u64) {
        self.inner.pids.kill(number);
    }

    /// Waits until no invocation runs.
    pub async fn idle(&self) {
        let _ = self.inner.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Whether no invocation runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self.inner.running.borrow() == 0
    }

    /// Ends every idle instance; those at work end when they are done. New ones see the clock as it is now.
    pub fn restart(&self) {
        self.inner.generation.fetch_add(1, Ordering::SeqCst);
        for pool in self.inner.pools.values() {
            lock(&pool.idle).clear();
        }
    }

    /// Ends instances that nobody has needed for a while, and those that are too many, so that an idle stack stays small.
    pub fn reap(&self) {
        let pools = || self.inner.pools.values();
        let mut used: Vec<Instant> = pools()
            .flat_map(|pool| lock(&pool.idle).iter().map(|i| i.last_used).collect::<Vec<_>>())
            .collect();
        used.sort_unstable();
        let oldest = used.iter().nth_back(KEPT_WARM - 1).copied();
        for pool in pools() {
            lock(&pool.idle).retain(|instance| {
                instance.last_used.elapsed() < IDLE_LIFE
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
        self.inner.pids.kill_all();
    }
}

/// Counts an invocation until it is over.
struct Running(Arc<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

type Reply = oneshot::Sender<Result<Bytes, Failure>>;

async fn run(inner: &Arc<Inner>, pool: &Pool, _slot: OwnedSemaphorePermit, payload: Bytes, reply: Reply) {
    let mut instance = match ready_instance(inner, pool).await {
        Ok(instance) => instance,
        Err(failure) => {
            log_failure(inner, pool, &failure);
            let _ = reply.send(Err(failure));
            return;
        }
    };
    let limit = pool.function.timeout;
    let now = inner.settings.clock.now();
    let deadline =
        SignedDuration::try_from(limit).ok().and_then(|limit| now.checked_add(limit).ok()).unwrap_or(now);
    let invocation = Invocation {
        request_id: uuid::Uuid::new_v4().to_string(),
        payload,
        deadline_ms: deadline.as_millisecond(),
        function_arn: names::function_arn(&pool.function.name),
    };
    let outcome = instance.invoke(invocation, limit).await;
    if let Err(failure) = &outcome {
        log_failure(inner, pool, failure);
    }
    *lock(&pool.settling) += 1;
    let _ = reply.send(outcome);
    let settled = instance.is_alive() && instance.settle(limit).await;
    let current = instance.generation == inner.generation.load(Ordering::SeqCst);
    if settled && current && !inner.stopped.load(Ordering::SeqCst) {
        instance.last_used = Instant::now();
        lock(&pool.idle).push(instance);
    }
    *lock(&pool.settling) -= 1;
    pool.settled.notify_waiters();
}

/// An idle instance, one that is about to be idle, or a new one.
async fn ready_instance(inner: &Arc<Inner>, pool: &Pool) -> Result<Instance, Failure> {
    if let Some(instance) = take_idle(pool) {
        return Ok(instance);
    }
    let settled = pool.settled.notified();
    tokio::pin!(settled);
    settled.as_mut().enable();
    if *lock(&pool.settling) > 0 {
        let _ = timeout(SETTLING_TIME, settled).await;
    }
    if let Some(instance) = take_idle(pool) {
        return Ok(instance);
    }
    if inner.stopped.load(Ordering::SeqCst) {
        return Err(Failure::runtime("Runtime.ExitError", "the stack is stopping"));
    }
    let number = inner.next_number.fetch_add(1, Ordering::SeqCst);
    let generation = inner.generation.load(Ordering::SeqCst);
    Instance::start(&pool.function, &inner.settings, number, generation, &inner.logs, &inner.pids).await
}

fn take_idle(pool: &Pool) -> Option<Instance> {
    loop {
        let mut instance = lock(&pool.idle).pop()?;
        if instance.is_alive() {
            return Some(instance);
        }
    }
}

fn log_failure(inner: &Inner, pool: &Pool, failure: &Failure) {
    if let Failure::Function(document) = failure {
        inner
            .logs
            .add(&pool.function.binary, &format!("invocation failed: {}", String::from_utf8_lossy(document)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
