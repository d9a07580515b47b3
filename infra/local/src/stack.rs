//! The stack as a whole: starts the parts in order, moves their one clock, stops them.

use crate::aws::{self, Aws, calls::CallLog, engine::AnyKms, faults::Faults};
use crate::bootstrap;
use crate::clock::Clock;
use crate::data::{self, DataFolder};
use crate::functions::{Functions, Settings};
use crate::gateway::{self, Gateway};
use crate::logs::Logs;
use crate::options::Options;
use crate::ports::{self, Listeners};
use crate::routes::Routes;
use crate::server::{self, Server};
use crate::sim::RingCentral;
use crate::state_file::{self, StateFile};
use crate::template::Template;
use anyhow::{Context, Result};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long `POST /_local/clock` waits for running invocations, before and after.
const QUIET_LIMIT: Duration = Duration::from_secs(30);
/// The file of the clock's offset.
const CLOCK_FILE: &str = "clock.json";
/// The file that tells others where the stack is.
const STACK_FILE: &str = "stack.json";

/// What `stack.json` holds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StackInfo {
    /// Address of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Address of the simulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ringcentral: Option<String>,
    /// Address of the AWS endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<String>,
    /// The operator's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_key: Option<String>,
    /// The tenant that the runner made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Its API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The simulator's seed app and users.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub rc: Value,
}

impl StackInfo {
    /// The gateway's address, or nothing if it does not run.
    #[must_use]
    pub fn gateway(&self) -> &str {
        self.gateway.as_deref().unwrap_or_default()
    }

    /// The simulator's address, or nothing if it does not run.
    #[must_use]
    pub fn ringcentral(&self) -> &str {
        self.ringcentral.as_deref().unwrap_or_default()
    }

    /// The address of the AWS endpoints, or nothing if they do not run.
    #[must_use]
    pub fn aws(&self) -> &str {
        self.aws.as_deref().unwrap_or_default()
    }
}

/// A running stack. Dropping it stops it too, but does not wait for the simulator to write its state.
pub struct Stack {
    info: StackInfo,
    notes: Vec<String>,
    parts: Arc<Parts>,
    simulator: Arc<OnceLock<RingCentral>>,
    servers: Vec<Server>,
    ticker: Option<AbortHandle>,
    stack_file: Option<std::path::PathBuf>,
    _folder: Option<DataFolder>,
}

/// What moves with the clock.
struct Parts {
    clock: Clock,
    clock_file: StateFile,
    functions: Option<Functions>,
    aws: Option<Arc<Aws>>,
    simulator: Arc<OnceLock<RingCentral>>,
    logs: Logs,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct SavedClock {
    offset_seconds: i64,
}

impl Stack {
    /// Starts the parts that the options ask for.
    pub async fn start(options: Options) -> Result<Self> {
        let folder = options.data.folder().map(DataFolder::open).transpose()?;
        let path = folder.as_ref().map(DataFolder::path);
        let Listeners { gateway, simulator, aws, moved } = ports::listen(options.ports).await?;
        let gateway_url = format!("http://127.0.0.1:{}", gateway.local_addr()?.port());
        let reached_at = options.reached_at(options.runs_gateway().then_some(gateway_url.as_str()));
        let simulator_url = format!("http://localhost:{}", simulator.local_addr()?.port());
        let aws_url = format!("http://127.0.0.1:{}", aws.local_addr()?.port());

        let clock_file = StateFile::new(path, CLOCK_FILE);
        let saved: SavedClock = clock_file.load().map_err(|error| data::not_restored(path, &error))?;
        let clock = Clock::with_offset(saved.offset_seconds);
        let logs = Logs::new(options.show_logs);

        let mut info = StackInfo::default();
        let running_simulator = Arc::new(OnceLock::new());
        if options.runs_simulator() {
            let started =
                RingCentral::start(simulator, &simulator_url, &reached_at, path.map(Path::to_path_buf))
                    .await
                    .map_err(|error| data::not_restored(path, &error))?;
            started.move_clock_to(clock.offset_seconds());
            info.rc = started.seed()?;
            info.ringcentral = Some(simulator_url.clone());
            let _ = running_simulator.set(started);
        }

        let mut parts = Parts {
            clock: clock.clone(),
            clock_file,
            functions: None,
            aws: None,
            simulator: Arc::clone(&running_simulator),
            logs: logs.clone(),
        };
        let mut servers = Vec::new();
        let mut ticker = None;
        let mut routes = None;
        if options.runs_aws() {
            let overrides = options.overrides(&info.rc, &aws_url, &reached_at, &simulator_url);
            let template = Template::read(&options.template, &overrides)?;
            if let Some(url) = &options.endpoint_url {
                aws::engine::probe(url).await?;
            }
            let running = open_aws(&options, &template, &aws_url, path, &info.rc, clock.clone())
                .await
                .map_err(|error| data::not_restored(path, &error))?;
            info.operator_key = operator_key(&running, &template);
            info.aws = Some(aws_url.clone());
            if options.runs_gateway() {
                let settings = Settings {
                    binaries: options.binaries.clone(),
                    unbuilt: options.unbuilt.clone(),
                    aws_url,
                    clock,
                };
                let functions = Functions::new(&template, settings, logs);
                let _ = running.functions.set(functions.clone());
                for stream in &running.streams {
                    // What is wrong is told again and again by whoever reads the stream.
                    let _ = stream.begin(&running).await;
                }
                parts.functions = Some(functions);
                routes = Some(Routes::new(&template));
                info.gateway = Some(gateway_url);
            }
            servers.push(serve_aws(aws, Arc::clone(&running)));
            ticker = Some(tokio::spawn(Arc::clone(&running).tick()).abort_handle());
            parts.aws = Some(running);
        }
        let parts = Arc::new(parts);
        let makes_tenant = options.tenant && routes.as_ref().is_some_and(bootstrap::is_possible);
        if let (Some(routes), Some(functions)) = (routes, parts.functions.clone()) {
            servers.push(serve_gateway(gateway, routes, functions, &parts));
        }
        let stack_file = path.map(|path| path.join(STACK_FILE));
        let mut stack = Self {
            info,
            notes: moved,
            parts,
            simulator: running_simulator,
            servers,
            ticker,
            stack_file,
            _folder: folder,
        };
        stack.introduce(makes_tenant).await?;
        Ok(stack)
    }

    /// The addresses and keys: what `stack.json` holds.
    #[must_use]
    pub fn info(&self) -> &StackInfo {
        &self.info
    }

    /// What a person should know about this start: ports that moved, a tenant that could not be made.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The clock that all parts share.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    /// What the functions wrote.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.parts.logs
    }

    /// The functions, where they run.
    #[must_use]
    pub fn functions(&self) -> Option<&Functions> {
        self.parts.functions.as_ref()
    }

    /// Waits until nothing happens by itself: no invocation runs, no message waits for a function, no event of
    /// RingCentral is on its way. At most 30 seconds.
    pub async fn settle(&self) {
        self.parts.quiet().await;
    }

    /// Moves the clock of all parts, as `POST /_local/clock` does.
    pub async fn advance(&self, seconds: i64) -> Value {
        self.parts.advance(seconds).await
    }

    /// Stops every part and every process, and waits until the state is written.
    pub async fn stop(mut self) -> Result<()> {
        self.halt();
        if let Some(functions) = &self.parts.functions {
            let _ = timeout(Duration::from_secs(2), functions.idle()).await;
        }
        let held = std::mem::take(&mut self.simulator);
        let aws = self.parts.aws.as_ref().map(Arc::downgrade);
        self.parts = Arc::new(Parts {
            clock: self.parts.clock.clone(),
            clock_file: StateFile::default(),
            functions: None,
            aws: None,
            simulator: Arc::default(),
            logs: self.parts.logs.clone(),
        });
        // Tasks that were ended let go of the tables when they next would have run; the folder is free after that.
        let let_go = async {
            while aws.as_ref().is_some_and(|aws| aws.strong_count() > 0) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(Duration::from_secs(2), let_go).await;
        if let Some(simulator) = Arc::try_unwrap(held).ok().and_then(OnceLock::into_inner) {
            simulator.stop().await.context("the simulator did not stop well")?;
        }
        Ok(())
    }

    /// Ends servers and processes.
    fn halt(&mut self) {
        if let Some(ticker) = self.ticker.take() {
            ticker.abort();
        }
        self.servers.clear();
        if let Some(functions) = &self.parts.functions {
            functions.stop();
        }
    }

    /// Reuses the tenant and key of the data folder, or makes them; writes stack.json.
    async fn introduce(&mut self, tenant: bool) -> Result<()> {
        if let Some(file) = &self.stack_file {
            let earlier: StackInfo = StateFile::new(file.parent(), STACK_FILE)
                .load()
                .map_err(|error| data::not_restored(file.parent(), &error))?;
            self.info.tenant_id = earlier.tenant_id;
            self.info.api_key = earlier.api_key;
        }
        if tenant && self.info.api_key.is_none() {
            match bootstrap::tenant_and_key(&self.info).await {
                Ok((tenant_id, api_key)) => {
                    self.info.tenant_id = Some(tenant_id);
                    self.info.api_key = Some(api_key);
                }
                Err(error) => self.notes.push(format!("no tenant could be made: {error:#}")),
            }
        }
        if let Some(file) = &self.stack_file {
            state_file::write_private(file, &serde_json::to_vec_pretty(&self.info)?)?;
        }
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Parts {
    async fn advance(&self, seconds: i64) -> Value {
        self.quiet().await;
        let _moving = match &self.aws {
            Some(aws) => Some(aws.moving.lock().await),
            None => None,
        };
        self.clock.advance(seconds);
        let saved = SavedClock { offset_seconds: self.clock.offset_seconds() };
        if let Err(error) = self.clock_file.save(&saved) {
            tracing::warn!(error = %format!("{error:#}"), "the clock could not be saved");
        }
        if let Some(functions) = &self.functions {
            functions.restart();
        }
        if let Some(simulator) = self.simulator.get() {
            simulator.advance(seconds);
        }
        let mut fired = Vec::new();
        if let Some(aws) = &self.aws {
            aws.dynamodb.sweep(self.clock.now()).await;
            aws.dynamodb.tell();
            if let Ok(names) = timeout(QUIET_LIMIT, aws.fire_due()).await {
                fired = names;
            }
        }
        self.quiet().await;
        json!({ "now": self.clock.now().to_string(), "fired": fired })
    }

    /// Waits until nothing happens by itself, at most 30 seconds.
    async fn quiet(&self) {
        let quiet = async {
            loop {
                if let Some(simulator) = self.simulator.get() {
                    simulator.idle().await;
                }
                if let Some(aws) = &self.aws {
                    aws.settle().await;
                }
                // What the functions did may have made RingCentral send something.
                if self.simulator.get().is_none_or(RingCentral::is_idle) {
                    return;
                }
            }
        };
        let _ = timeout(QUIET_LIMIT, quiet).await;
    }
}

async fn open_aws(
    options: &Options,
    template: &Template,
    aws_url: &str,
    folder: Option<&Path>,
    rc: &Value,
    clock: Clock,
) -> Result<Arc<Aws>> {
    let file = |name: &str| StateFile::new(folder, name);
    let mut given = BTreeMap::new();
    if !rc.is_null() {
        let app = json!({ "clientId": rc["clientId"], "clientSecret": rc["clientSecret"] });
        given.insert("RingCentralApp".to_owned(), app.to_string());
    }
    let aliases = template.aliases.clone();
    let (dynamodb, kms) = match &options.endpoint_url {
        None => (
            aws::dynamodb::DynamoDb::open(folder, &template.tables).await?,
            AnyKms::Ours(aws::kms::Kms::open(file("kms.json"), &template.keys, aliases, clock.clone())?),
        ),
        Some(url) => (
            aws::dynamodb::DynamoDb::at(url.clone(), &template.tables).await?,
            AnyKms::Other(aws::engine::OtherKms::open(url, &template.keys, aliases).await?),
        ),
    };
    let scheduler = aws::scheduler::Scheduler::open(file("schedules.json"), &template.schedule_groups)?;
    for input in template.schedule_inputs() {
        scheduler.ensure(&input, clock.now())?;
    }
    Ok(Arc::new(Aws {
        calls: CallLog::default(),
        faults: Faults::default(),
        dynamodb,
        kms,
        secrets: aws::secrets::Secrets::open(file("secrets.json"), &template.secrets, &given)?,
        scheduler,
        sqs: Arc::new(aws::sqs::Sqs::open(file("queues.json"), &template.queues, clock.clone(), aws_url)?),
        feeds: aws::sqs::feed::mappings(template).into_iter().map(Arc::new).collect(),
        streams: aws::streams::mappings(template).into_iter().map(Arc::new).collect(),
        positions: aws::streams::Positions::open(file("streams.json"))?,
        lambda: aws::lambda::Lambda::default(),
        moving: tokio::sync::Mutex::default(),
        iam: aws::iam::Iam::new(template)?,
        partition_keys: aws::rights::PartitionKeys::new(template),
        clock,
        functions: OnceLock::new(),
    }))
}

fn operator_key(aws: &Aws, template: &Template) -> Option<String> {
    let secret = template.secrets.iter().find(|secret| secret.logical_id == "OperatorKey")?;
    aws.secrets.text(&secret.name)
}

fn serve_aws(listener: TcpListener, aws: Arc<Aws>) -> Server {
    server::serve(
        listener,
        aws::LARGEST_REQUEST,
        || server::status(StatusCode::PAYLOAD_TOO_LARGE),
        move |call| {
            let aws = Arc::clone(&aws);
            async move { aws.answer(call).await }
        },
    )
}

fn serve_gateway(listener: TcpListener, routes: Routes, functions: Functions, parts: &Arc<Parts>) -> Server {
    let weak = Arc::downgrade(parts);
    let advance: gateway::Advance = Arc::new(move |seconds| {
        let parts = weak.upgrade();
        Box::pin(async move {
            match parts {
                Some(parts) => parts.advance(seconds).await,
                None => json!({ "error": "the stack is stopping" }),
            }
        })
    });
    let weak = Arc::downgrade(parts);
    let settle: gateway::Settle = Arc::new(move || {
        let parts = weak.upgrade();
        Box::pin(async move {
            if let Some(parts) = parts {
                parts.quiet().await;
            }
        })
    });
    let gateway = Arc::new(Gateway {
        routes,
        functions,
        clock: parts.clock.clone(),
        logs: parts.logs.clone(),
        advance,
        settle,
    });
    server::serve(
        listener,
        gateway::LARGEST_REQUEST,
        || crate::event::gateway_message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        move |call| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.answer(call).await }
        },
    )
}
