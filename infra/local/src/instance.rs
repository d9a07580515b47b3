//! One instance of a function: a process that runs the function's binary, driven over its own Runtime API. The runner
//! freezes it between invocations, and kills it when an invocation exceeds its timeout.

use crate::clock::StackClock;
use crate::logs::FunctionLogs;
use crate::names;
use crate::process_guard::ProcessGuard;
use crate::runtime_api::{RuntimeApi, RuntimeInvocation, RuntimeMessage};
use crate::template::FunctionResource;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

/// Lambda's limit for initialization.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What every instance is started with.
#[derive(Clone)]
pub struct InstanceSettings {
    /// The folder of the binaries.
    pub binaries: PathBuf,
    /// Functions that failed to build. Their old binaries must not run.
    pub unbuilt: BTreeSet<String>,
    pub aws_url: String,
    pub clock: StackClock,
}

/// Why an invocation returned no response.
#[derive(Clone, Debug)]
pub enum InvocationError {
    UnknownFunction,
    /// No instance became free in time.
    NoCapacity,
    /// The function or its process failed, with this error document.
    Function(Bytes),
}

impl InvocationError {
    /// A failure of the process, not of the function's code.
    #[must_use]
    pub fn runtime(error_type: &str, message: &str) -> Self {
        let document = json!({ "errorType": error_type, "errorMessage": message });
        Self::Function(document.to_string().into())
    }
}

impl InvocationError {
    /// The status in the report that Lambda writes about the invocation.
    #[must_use]
    pub fn report_status(&self) -> &'static str {
        match self {
            Self::Function(document) if document.windows(16).any(|part| part == b"Sandbox.Timedout") => {
                "timeout"
            }
            Self::Function(document) if document.windows(8).any(|part| part == b"Runtime.") => "failure",
            _ => "error",
        }
    }
}

/// Whether an instance can run another invocation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InstanceState {
    Ready,
    /// It exited, or did not request the next invocation in time.
    Exited,
}

/// Dropping it kills its process.
pub struct Instance {
    /// Moving the clock starts a new generation; instances of older ones have the old time.
    pub generation: u64,
    /// When its last invocation ended.
    pub last_used: Instant,
    function: String,
    pid: Option<Pid>,
    child: Child,
    api: RuntimeApi,
    frozen: bool,
    registration: Option<Registration>,
}

/// The running processes by instance number, so that an instance can be killed during an invocation.
#[derive(Clone, Default)]
pub struct RunningProcesses {
    pids: Arc<Mutex<BTreeMap<u64, Pid>>>,
    guard: Arc<ProcessGuard>,
}

impl RunningProcesses {
    fn register(&self, number: u64, pid: Pid) -> Registration {
        self.lock().insert(number, pid);
        Registration { processes: self.clone(), number }
    }

    /// Kills one instance.
    pub fn kill(&self, number: u64) {
        if let Some(pid) = self.lock().get(&number) {
            let _ = kill_process(*pid, Signal::KILL);
        }
    }

    pub fn kill_all(&self) {
        for pid in self.lock().values() {
            let _ = kill_process(*pid, Signal::KILL);
        }
        self.guard.kill_group();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Pid>> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a process in [`RunningProcesses`] while its instance exists, so that a reused process id is never killed.
struct Registration {
    processes: RunningProcesses,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.processes.lock().remove(&self.number);
    }
}

impl Instance {
    /// Starts the process and waits until it requests its first invocation.
    pub async fn start(
        function: &FunctionResource,
        settings: &InstanceSettings,
        number: u64,
        generation: u64,
        logs: &FunctionLogs,
        processes: &RunningProcesses,
    ) -> Result<Self, InvocationError> {
        let mut instance = Self::spawn(function, settings, number, generation, logs, processes)
            .await
            .map_err(|error| InvocationError::runtime("Runtime.InvalidEntrypoint", &format!("{error:#}")))?;
        instance.registration = instance.pid.map(|pid| processes.register(number, pid));
        match timeout(INIT_TIMEOUT, instance.next_message()).await {
            Ok(Ok(RuntimeMessage::Ready)) => Ok(instance),
            Ok(Ok(RuntimeMessage::InitError(document))) => Err(InvocationError::Function(document)),
            Ok(Ok(_)) => {
                Err(InvocationError::runtime("Runtime.InitError", "it responded before its first invocation"))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(InvocationError::runtime(
                "Sandbox.Timedout",
                "initialization took longer than 10 seconds",
            )),
        }
    }

    async fn spawn(
        function: &FunctionResource,
        settings: &InstanceSettings,
        number: u64,
        generation: u64,
        logs: &FunctionLogs,
        processes: &RunningProcesses,
    ) -> Result<Self> {
        if settings.unbuilt.contains(&function.binary) {
            bail!("{} failed to build; see the compiler errors at the start", function.binary);
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
            // Ctrl-C reaches the runner only; the guard kills the group when the runner has ended.
            .process_group(
                processes.guard.group().context("the process guard of the functions did not start")?,
            )
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
            registration: None,
        })
    }

    /// Runs one invocation. After an error that the function did not report itself, the instance cannot be reused.
    pub async fn invoke(
        &mut self,
        invocation: RuntimeInvocation,
        limit: Duration,
    ) -> Result<Bytes, InvocationError> {
        let request_id = invocation.request_id.clone();
        let end = Instant::now() + limit;
        self.thaw();
        if self.api.invocations.send(invocation).await.is_err() {
            return Err(InvocationError::runtime("Runtime.ExitError", "the instance has exited"));
        }
        loop {
            match timeout_at(end, self.next_message()).await {
                Ok(Ok(RuntimeMessage::Response(id, body))) if id == request_id => return Ok(body),
                Ok(Ok(RuntimeMessage::Error(id, document))) if id == request_id => {
                    return Err(InvocationError::Function(document));
                }
                // A message about an earlier invocation, or an additional request for the next one.
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    self.kill().await;
                    return Err(InvocationError::runtime(
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

    /// Waits until the function requests the next invocation, then freezes it.
    pub async fn finish(&mut self, limit: Duration) -> InstanceState {
        let end = Instant::now() + limit;
        loop {
            match timeout_at(end, self.next_message()).await {
                Ok(Ok(RuntimeMessage::Ready)) => {
                    self.freeze();
                    return InstanceState::Ready;
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return InstanceState::Exited,
                Err(_) => {
                    self.kill().await;
                    return InstanceState::Exited;
                }
            }
        }
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the process, so that work that the function left behind does not run between invocations.
    fn freeze(&mut self) {
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

    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    async fn next_message(&mut self) -> Result<RuntimeMessage, InvocationError> {
        tokio::select! {
            biased;
            message = self.api.messages.recv() => {
                message.ok_or_else(|| InvocationError::runtime("Runtime.ExitError", "the Runtime API is closed"))
            }
            status = self.child.wait() => {
                // The process may have sent a message right before it exited.
                if let Ok(message) = self.api.messages.try_recv() {
                    return Ok(message);
                }
                self.pid = None;
                self.registration = None;
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                let message = format!("{}: runtime exited: {status}", self.function);
                Err(InvocationError::runtime("Runtime.ExitError", &message))
            }
        }
    }
}

/// Where systems keep the root certificates: Debian and Alpine, Red Hat, macOS.
const ROOT_CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The variables that Lambda sets. Nothing of the runner's own environment is passed on.
fn lambda_environment(
    function: &FunctionResource,
    settings: &InstanceSettings,
    number: u64,
    port: u16,
) -> Vec<(String, String)> {
    let mut variables = vec![
        ("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}")),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", format!("local/[$LATEST]{number}")),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".to_owned()),
        ("AWS_REGION", names::REGION.to_owned()),
        ("AWS_DEFAULT_REGION", names::REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", names::access_key_id(&function.binary)),
        ("AWS_SECRET_ACCESS_KEY", names::SECRET_ACCESS_KEY.to_owned()),
        ("AWS_SESSION_TOKEN", names::session_token(number, settings.clock.offset_seconds())),
        ("AWS_ENDPOINT_URL", settings.aws_url.clone()),
        ("_HANDLER", "bootstrap".to_owned()),
        ("LAMBDA_TASK_ROOT", "/var/task".to_owned()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ];
    // Lambda has one bundle. Without its name, every process also reads the hundred or so files that the bundle contains.
    if let Some(bundle) = ROOT_CERTIFICATES.iter().find(|path| Path::new(path).exists()) {
        variables.push(("SSL_CERT_FILE", (*bundle).to_owned()));
    }
    let offset = settings.clock.offset_seconds();
    if offset != 0 {
        variables.push(("RINGBRIDGE_CLOCK_OFFSET_SECONDS", offset.to_string()));
    }
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn forward(stream: impl AsyncRead + Send + Unpin + 'static, function: String, logs: FunctionLogs) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            logs.add(&function, &line);
        }
    });
}
