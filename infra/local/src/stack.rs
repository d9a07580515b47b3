//! Starts and stops the parts of a stack.

use crate::aws::calls::CallLog;
use crate::aws::cloudwatch::CloudWatch;
use crate::aws::control;
use crate::aws::dynamodb::DynamoDb;
use crate::aws::endpoints::{self, AwsEndpoints};
use crate::aws::faults::AwsFaults;
use crate::aws::iam::FunctionPolicies;
use crate::aws::kms::LocalKms;
use crate::aws::kms_backend::KmsBackend;
use crate::aws::lambda::Lambda;
use crate::aws::permissions::PartitionKeys;
use crate::aws::remote_kms::{self, RemoteKms};
use crate::aws::s3::S3;
use crate::aws::s3::store::ObjectStore;
use crate::aws::scheduler::Scheduler;
use crate::aws::secrets::SecretsManager;
use crate::aws::services::AwsServices;
use crate::aws::sqs::{self, Sqs};
use crate::aws::streams;
use crate::aws::streams::position::ShardPositions;
use crate::bootstrap;
use crate::clock::StackClock;
use crate::data::{self, DataFolder};
use crate::event;
use crate::functions::FunctionPools;
use crate::gateway::{self, HttpApiGateway};
use crate::instance::InstanceSettings;
use crate::logs::FunctionLogs;
use crate::options::StackOptions;
use crate::parts::{RunningParts, SavedClock};
use crate::ports::{self, StackListeners};
use crate::routes::RouteTable;
use crate::server::{self, HttpServer};
use crate::sim::RunningSimulator;
use crate::stack_info::StackInfo;
use crate::state_file::{self, StateFile};
use crate::template::Template;
use crate::throttles::RouteThrottles;
use anyhow::{Context, Result};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::timeout;

const CLOCK_FILE: &str = "clock.json";
pub const STACK_FILE: &str = "stack.json";

/// A running stack. Dropping it stops it too, but only `stop` waits until the simulator has saved its state.
pub struct Stack {
    info: StackInfo,
    notes: Vec<String>,
    parts: Arc<RunningParts>,
    simulator: Arc<OnceLock<RunningSimulator>>,
    servers: Vec<HttpServer>,
    background: Option<AbortHandle>,
    stack_file: Option<PathBuf>,
    _folder: Option<DataFolder>,
}

impl Stack {
    /// Starts the parts that the options select.
    pub async fn start(options: StackOptions) -> Result<Self> {
        let folder = options.data.folder().map(DataFolder::open).transpose()?;
        let path = folder.as_ref().map(DataFolder::path);
        let StackListeners { gateway, simulator, aws, notes } = ports::listen(options.ports).await?;
        let gateway_url = format!("http://127.0.0.1:{}", gateway.local_addr()?.port());
        let own_gateway = options.parts.gateway().then_some(gateway_url.as_str());
        let functions_url = options.functions_url(own_gateway);
        let simulator_url = format!("http://localhost:{}", simulator.local_addr()?.port());
        let aws_url = format!("http://127.0.0.1:{}", aws.local_addr()?.port());

        let clock_file = StateFile::new(path, CLOCK_FILE);
        let saved: SavedClock = clock_file.load().map_err(|error| data::not_restored(path, &error))?;
        let clock = StackClock::with_offset(saved.offset_seconds);
        let logs = FunctionLogs::default();

        let mut info = StackInfo::default();
        let running_simulator = Arc::new(OnceLock::new());
        if options.parts.simulator() {
            let data = path.map(Path::to_path_buf);
            let started = RunningSimulator::start(simulator, &simulator_url, &functions_url, data)
                .await
                .map_err(|error| data::not_restored(path, &error))?;
            started.move_clock_to(clock.offset_seconds());
            info.rc = started.seed()?;
            info.ringcentral = Some(simulator_url.clone());
            let _ = running_simulator.set(started);
        }

        let mut parts = RunningParts {
            clock: clock.clone(),
            clock_file,
            functions: None,
            aws: None,
            simulator: Arc::clone(&running_simulator),
            logs: logs.clone(),
        };
        let mut servers = Vec::new();
        let mut background = None;
        let mut api = None;
        if options.parts.aws() {
            let overrides = options.overrides(&info.rc, &aws_url, &functions_url, &simulator_url);
            let template = Template::read(&options.template, &overrides)?;
            if let Some(url) = &options.endpoint_url {
                remote_kms::check_reachable(url).await?;
            }
            let endpoints = open_aws(&options, &template, &aws_url, path, &info.rc, clock.clone())
                .await
                .map_err(|error| data::not_restored(path, &error))?;
            info.operator_key = operator_key(&endpoints.services, &template);
            info.aws = Some(aws_url.clone());
            if options.parts.gateway() {
                let settings = InstanceSettings {
                    binaries: options.binaries.clone(),
                    unbuilt: options.unbuilt.clone(),
                    aws_url,
                    clock,
                };
                let functions = FunctionPools::new(
                    &template,
                    settings,
                    options.instances,
                    logs,
                    endpoints.services.cloudwatch.clone(),
                );
                let cloudwatch = endpoints.services.cloudwatch.clone();
                parts.logs.observe(move |line| cloudwatch.log_line(line));
                let _ = endpoints.services.functions.set(functions.clone());
                for mapping in &endpoints.stream_mappings {
                    // If this fails, so do the later reads, which log the error.
                    let _ = mapping.initialize(&endpoints.services).await;
                }
                parts.functions = Some(functions);
                api = Some((RouteTable::new(&template), RouteThrottles::new(template.throttles)));
                info.gateway = Some(gateway_url);
            }
            servers.push(serve_aws(aws, Arc::clone(&endpoints)));
            background = Some(tokio::spawn(Arc::clone(&endpoints).run()).abort_handle());
            parts.aws = Some(endpoints);
        }
        let parts = Arc::new(parts);
        let can_create_tenant = api.as_ref().is_some_and(|(routes, _)| bootstrap::is_possible(routes));
        if let (Some(api), Some(functions)) = (api, parts.functions.clone()) {
            servers.push(serve_gateway(gateway, api, functions, &parts));
        }
        let stack_file = path.map(|path| path.join(STACK_FILE));
        let mut stack = Self {
            info,
            notes,
            parts,
            simulator: running_simulator,
            servers,
            background,
            stack_file,
            _folder: folder,
        };
        stack.restore_tenant()?;
        if can_create_tenant && stack.info.api_key.is_none() {
            stack.create_tenant().await;
        }
        stack.write_stack_file()?;
        Ok(stack)
    }

    #[must_use]
    pub fn info(&self) -> &StackInfo {
        &self.info
    }

    /// Messages for the user about this start, such as ports that were in use.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    #[must_use]
    pub fn clock(&self) -> &StackClock {
        &self.parts.clock
    }

    #[must_use]
    pub fn logs(&self) -> &FunctionLogs {
        &self.parts.logs
    }

    #[must_use]
    pub fn functions(&self) -> Option<&FunctionPools> {
        self.parts.functions.as_ref()
    }

    /// Waits until no part has work left, as `POST /_local/idle` does; at most 30 seconds.
    pub async fn wait_until_idle(&self) {
        self.parts.wait_until_idle().await;
    }

    /// Stops all parts and processes, and waits until the state is saved.
    pub async fn stop(mut self) -> Result<()> {
        self.halt();
        if let Some(functions) = &self.parts.functions {
            let _ = timeout(Duration::from_secs(2), functions.wait_until_idle()).await;
        }
        let simulator = std::mem::take(&mut self.simulator);
        let services = self.parts.aws.as_ref().map(|aws| Arc::downgrade(&aws.services));
        self.parts = Arc::new(RunningParts {
            clock: self.parts.clock.clone(),
            clock_file: StateFile::default(),
            functions: None,
            aws: None,
            simulator: Arc::default(),
            logs: self.parts.logs.clone(),
        });
        // Aborted tasks hold the database until they would run next. Only then can another stack use the folder.
        let released = async {
            while services.as_ref().is_some_and(|services| services.strong_count() > 0) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(Duration::from_secs(2), released).await;
        if let Some(simulator) = Arc::try_unwrap(simulator).ok().and_then(OnceLock::into_inner) {
            simulator.stop().await.context("the simulator could not be stopped")?;
        }
        Ok(())
    }

    /// Stops servers and processes.
    fn halt(&mut self) {
        if let Some(background) = self.background.take() {
            background.abort();
        }
        self.servers.clear();
        if let Some(functions) = &self.parts.functions {
            functions.stop();
        }
    }

    /// Reuses tenant and key of an earlier run on the same data folder.
    fn restore_tenant(&mut self) -> Result<()> {
        if let Some(file) = &self.stack_file {
            let earlier: StackInfo = StateFile::new(file.parent(), STACK_FILE)
                .load()
                .map_err(|error| data::not_restored(file.parent(), &error))?;
            self.info.tenant_id = earlier.tenant_id;
            self.info.api_key = earlier.api_key;
        }
        Ok(())
    }

    async fn create_tenant(&mut self) {
        let operator_key = self.info.operator_key.as_deref();
        match bootstrap::create_tenant(self.info.gateway(), operator_key).await {
            Ok((tenant_id, api_key)) => {
                self.info.tenant_id = Some(tenant_id);
                self.info.api_key = Some(api_key);
            }
            Err(error) => self.notes.push(format!("no tenant could be created: {error:#}")),
        }
    }

    fn write_stack_file(&self) -> Result<()> {
        match &self.stack_file {
            Some(file) => state_file::write_private(file, &serde_json::to_vec_pretty(&self.info)?),
            None => Ok(()),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.halt();
    }
}

async fn open_aws(
    options: &StackOptions,
    template: &Template,
    aws_url: &str,
    folder: Option<&Path>,
    rc: &Value,
    clock: StackClock,
) -> Result<Arc<AwsEndpoints>> {
    let file = |name: &str| StateFile::new(folder, name);
    let mut secrets = BTreeMap::new();
    if !rc.is_null() {
        let app = json!({ "clientId": rc["clientId"], "clientSecret": rc["clientSecret"] });
        secrets.insert("RingCentralApp".to_owned(), app.to_string());
    }
    let aliases = template.aliases.clone();
    let (dynamodb, kms) = match &options.endpoint_url {
        None => (
            DynamoDb::open(folder, &template.tables).await?,
            KmsBackend::Local(LocalKms::open(file("kms.json"), &template.keys, aliases, clock.clone())?),
        ),
        Some(url) => (
            DynamoDb::connect(url.clone(), &template.tables).await?,
            KmsBackend::Remote(RemoteKms::open(url, &template.keys, aliases).await?),
        ),
    };
    let scheduler = Scheduler::open(file("schedules.json"), &template.schedule_groups)?;
    for input in template.schedule_inputs() {
        scheduler.ensure(&input, clock.now())?;
    }
    let policies = FunctionPolicies::new(template)?;
    let objects = ObjectStore::open(file("s3.json"), folder, &template.buckets)?;
    let services = AwsServices {
        dynamodb,
        kms,
        secrets: SecretsManager::open(file("secrets.json"), &template.secrets, &secrets)?,
        scheduler,
        sqs: Arc::new(Sqs::open(file("queues.json"), &template.queues, clock.clone(), aws_url)?),
        s3: S3::new(objects, policies.clone(), clock.clone()),
        lambda: Lambda::default(),
        positions: ShardPositions::open(file("streams.json"))?,
        cloudwatch: CloudWatch::new(template.alarms.clone(), template.metric_filters.clone(), clock.clone()),
        clock,
        functions: OnceLock::new(),
    };
    Ok(Arc::new(AwsEndpoints {
        services: Arc::new(services),
        calls: CallLog::default(),
        faults: AwsFaults::default(),
        policies,
        partition_keys: PartitionKeys::new(template),
        queue_mappings: sqs::mapping::mappings(template).into_iter().map(Arc::new).collect(),
        stream_mappings: streams::mapping::mappings(template).into_iter().map(Arc::new).collect(),
        clock_lock: tokio::sync::Mutex::default(),
    }))
}

fn operator_key(services: &AwsServices, template: &Template) -> Option<String> {
    let secret = template.secrets.iter().find(|secret| secret.logical_id == "OperatorKey")?;
    services.secrets.value(&secret.name)
}

fn serve_aws(listener: TcpListener, endpoints: Arc<AwsEndpoints>) -> HttpServer {
    server::serve(
        listener,
        endpoints::MAX_REQUEST_BYTES,
        || server::empty(StatusCode::PAYLOAD_TOO_LARGE),
        move |request| {
            let endpoints = Arc::clone(&endpoints);
            async move {
                if request.uri.path().starts_with(control::PREFIX) {
                    return control::handle(&endpoints, &request).await;
                }
                endpoints.handle(request).await
            }
        },
    )
}

fn serve_gateway(
    listener: TcpListener,
    (routes, throttles): (RouteTable, RouteThrottles),
    functions: FunctionPools,
    parts: &Arc<RunningParts>,
) -> HttpServer {
    let weak = Arc::downgrade(parts);
    let advance_clock: gateway::AdvanceClock = Arc::new(move |seconds| {
        let parts = weak.upgrade();
        Box::pin(async move {
            match parts {
                Some(parts) => parts.advance_clock(seconds).await,
                None => json!({ "error": "the stack is stopping" }),
            }
        })
    });
    let weak = Arc::downgrade(parts);
    let wait_until_idle: gateway::WaitUntilIdle = Arc::new(move || {
        let parts = weak.upgrade();
        Box::pin(async move {
            if let Some(parts) = parts {
                parts.wait_until_idle().await;
            }
        })
    });
    let gateway = Arc::new(HttpApiGateway {
        routes,
        throttles,
        functions,
        clock: parts.clock.clone(),
        cloudwatch: parts.aws.as_ref().map(|aws| aws.services.cloudwatch.clone()),
        logs: parts.logs.clone(),
        advance_clock,
        wait_until_idle,
    });
    server::serve(
        listener,
        gateway::MAX_REQUEST_BYTES,
        || event::gateway_message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        move |request| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.handle(request).await }
        },
    )
}
