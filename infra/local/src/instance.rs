//! One instance of a function: a process of the real binary, driven over its own Runtime API, frozen between
//! invocations and killed when it takes too long.

use crate::functions::{Failure, Settings};
use crate::guard::Guard;
use crate::logs::Logs;
use crate::names;
use crate::runtime_api::{Invocation, RuntimeApi, Said};
use crate::template::Function;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

/// Lambda gives a function 10 s to initialise.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// A process; dropping it kills it.
pub struct Instance {
    /// Functions started before the clock was moved are of an older generation.
    pub generation: u64,
    /// When it was done with its last invocation.
    pub last_used: Instant,
    function: String,
    pid: Option<Pid>,
    child: Child,
    api: RuntimeApi,
    frozen: bool,
    registered: Option<Registered>,
}

/// The processes that run, by instance number, so that one can be killed while it is at work.
#[derive(Clone, Default)]
pub struct Pids {
    running: Arc<Mutex<BTreeMap<u64, Pid>>>,
    guard: Arc<Guard>,
}

impl Pids {
    fn register(&self, number: u64, pid: Pid) -> Registered {
        self.lock().insert(number, pid);
        Registered { pids: self.clone(), number }
    }

    /// Kills one instance.
    pub fn kill(&self, number: u64) {
        if let Some(pid) = self.lock().get(&number) {
            let _ = kill_process(*pid, Signal::KILL);
        }
    }

    /// Kills every instance.
    pub fn kill_all(&self) {
        for pid in self.lock().values() {
            let _ = kill_process(*pid, Signal::KILL);
        }
        self.guard.end();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Pid>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a process in [`Pids`] as long as its instance lives: a number is never looked up for a later process.
struct Registered {
    pids: Pids,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.pids.lock().remove(&self.number);
    }
}

impl Instance {
    /// Starts the process and waits until it asks for its first invocation.
    pub async fn start(
        function: &Function,
        settings: &Settings,
        number: u64,
        generation: u64,
        logs: &Logs,
        pids: &Pids,
    ) -> Result<Self, Failure> {
        let mut instance = Self::spawn(function, settings, number, generation, logs, pids)
            .await
            .map_err(|error| Failure::runtime("Runtime.InvalidEntrypoint", &format!("{error:#}")))?;
        instance.registered = instance.pid.map(|pid| pids.register(number, pid));
        match timeout(INIT_LIMIT, instance.next_word()).await {
            Ok(Ok(Said::Next)) => Ok(instance),
            Ok(Ok(Said::InitFailure(document))) => Err(Failure::Function(document)),
            Ok(Ok(_)) => Err(Failure::runtime("Runtime.InitError", "it answered before it was asked")),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::runtime("Sandbox.Timedout", "initialising took longer than 10 seconds")),
        }
    }

    async fn spawn(
        function: &Function,
        settings: &Settings,
        number: u64,
        generation: u64,
        logs: &Logs,
        pids: &Pids,
    ) -> Result<Self> {
        if settings.unbuilt.contains(&function.binary) {
            bail!("{} does not build; its compiler error was shown at the start", function.binary);
        }
        let binary = settings.binaries.join(&function.binary);
        let api = RuntimeApi::start().await?;
        let mut command = Command::new(&binary);
        command
            .env_clear()
            .envs(&function.environment)
            .envs(lambda_environment(function, settings, number, api.address.port()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C reaches the runner alone; the guard of the group kills it when the runner is gone.
            .process_group(pids.guard.group().context("the guard of the functions does not start")?)
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, function.binary.clone(), logs.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            forward(stderr, function.binary.clone(), logs.clone());
        }
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self {
            generation,
            last_used: Instant::now(),
            function: function.binary.clone(),
            pid,
            child,
            api,
            frozen: false,
            registered: None,
        })
    }

    /// Runs one invocation; after a failure other than the function's own the instance is of no more use.
    pub async fn invoke(&mut self, invocation: Invocation, limit: Duration) -> Result<Bytes, Failure> {
        let request_id = invocation.request_id.clone();
        let end = Instant::now() + limit;
        self.thaw();
        if self.api.invocations.send(invocation).await.is_err() {
            return Err(Failure::runtime("Runtime.ExitError", "the instance is gone"));
        }
        loop {
            match timeout_at(end, self.next_word()).await {
                Ok(Ok(Said::Answer(id, body))) if id == request_id => return Ok(body),
                Ok(Ok(Said::Failure(id, document))) if id == request_id => {
                    return Err(Failure::Function(document));
                }
                // A word about an older invocation, or an extra poll.
                Ok(Ok(_)) => {}
                Ok(Err(failure)) => return Err(failure),
                Err(_) => {
                    self.kill().await;
                    return Err(Failure::runtime(
                        "Sandbox.Timedout",
                        &format!(
                            "RequestId: {request_id} Error: Task timed out after {:.2} seconds",
                            limit.as_secs_f64()
                        ),
                    ));
                }
            }
        }
    }

    /// Waits until it asks for the next invocation, and freezes it. False: it ended, or did not come back in time.
    pub async fn settle(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            match timeout_at(end, self.next_word()).await {
                Ok(Ok(Said::Next)) => {
                    self.freeze();
                    return true;
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return false,
                Err(_) => {
                    self.kill().await;
                    return false;
                }
            }
        }
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops its clock: nothing left behind goes on.
    pub fn freeze(&mut self) {
        if let Some(pid) = self.pid {
            self.frozen = kill_process(pid, Signal::STOP).is_ok();
        }
    }

    fn thaw(&mut self) {
        if let Some(pid) = self.pid.filter(|_| self.frozen) {
            let _ = kill_process(pid, Signal::CONT);
            self.frozen = false;
        }
    }

    /// Ends it now.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    async fn next_word(&mut self) -> Result<Said, Failure> {
        tokio::select! {
            biased;
            word = self.api.said.recv() => {
                word.ok_or_else(|| Failure::runtime("Runtime.ExitError", "the Runtime API is closed"))
            }
            status = self.child.wait() => {
                // The process may have said something right before it ended.
                if let Ok(word) = self.api.said.try_recv() {
                    return Ok(word);
                }
                self.pid = None;
                self.registered = None;
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(Failure::runtime("Runtime.ExitError", &format!("{}: runtime exited: {status}", self.function)))
            }
        }
    }
}

/// Where systems keep the certificates that TLS trusts: Debian and Alpine, Red Hat, macOS.
const ROOT_CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What Lambda itself puts into the environment, and nothing of the runner's own.
fn lambda_environment(
    function: &Function,
    settings: &Settings,
    number: u64,
    port: u16,
) -> Vec<(String, String)> {
    let mut variables = vec![
        ("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}")),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory.to_string()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", format!("local/[$LATEST]{number}")),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".to_owned()),
        ("AWS_REGION", names::REGION.to_owned()),
        ("AWS_DEFAULT_REGION", names::REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", names::access_key_id(&function.binary)),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_SESSION_TOKEN", format!("instance-{number}")),
        ("AWS_ENDPOINT_URL", settings.aws_url.clone()),
        ("_HANDLER", "bootstrap".to_owned()),
        ("LAMBDA_TASK_ROOT", "/var/task".to_owned()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ];
    // One file, as Lambda has it. Without the name of it, each process would read some hundred files as well, that are in it.
    if let Some(bundle) = ROOT_CERTIFICATES.iter().find(|path| Path::new(path).exists()) {
        variables.push(("SSL_CERT_FILE", (*bundle).to_owned()));
    }
    let offset = settings.clock.offset_seconds();
    if offset != 0 {
        variables.push(("RINGBRIDGE_CLOCK_OFFSET_SECONDS", offset.to_string()));
    }
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn forward(stream: impl AsyncRead + Send + Unpin + 'static, function: String, logs: Logs) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            logs.add(&function, &line);
        }
    });
}

/// An error document as Lambda answers it.
#[must_use]
pub fn error_document(kind: &str, message: &str) -> Bytes {
    json!({ "errorType": kind, "errorMessage": message }).to_string().into()
}
