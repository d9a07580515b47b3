//! The command line of `cargo local`.

use crate::banner::banner;
use crate::build::{self, BuildProfile};
use crate::functions::DEFAULT_INSTANCES;
use crate::logs::LogDisplay;
use crate::options::{DataLocation, StackOptions, StackParts};
use crate::progress::ProgressLine;
use crate::stack::{STACK_FILE, Stack};
use crate::stack_info::StackInfo;
use crate::state_file::{self, StateFile};
use crate::template::{Template, TemplateOverrides};
use crate::{bench, bootstrap, demo, watch};
use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Runs the whole system on this machine: gateway, RingCentral simulator and AWS endpoints
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local", disable_version_flag = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: CliOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect a user, send an SMS and receive a reply, on the running stack or a new one
    Demo,
    /// Print id and API key of the tenant, creating them if there are none
    Tenant,
    /// Print the functions' environment for `cargo lambda watch --env-file`
    Env,
    /// Print the template's routes for [workspace.metadata.lambda.watch.router] in Cargo.toml
    Router,
    /// Measure the latency that the stack adds, cold starts and memory
    Bench,
}

#[derive(Debug, Args)]
struct CliOptions {
    /// Ports of gateway, simulator and AWS endpoints; 0 picks a free port
    #[arg(long, value_name = "GATEWAY,RINGCENTRAL,AWS", value_parser = ports, global = true)]
    ports: Option<(u16, u16, u16)>,
    /// Folder for state between runs, or ":memory:" [default: .local in the workspace]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Print stack.json on one line of stdout when the stack is ready, and logs as JSON on stderr
    #[arg(long)]
    json: bool,
    /// Run the AWS endpoints only; with --sim-only both, without gateway and functions
    #[arg(long)]
    aws_only: bool,
    /// Run the simulator only
    #[arg(long)]
    sim_only: bool,
    /// URL of the functions if no gateway runs here [default: http://127.0.0.1:9000]
    #[arg(long, value_name = "URL", global = true)]
    public_url: Option<String>,
    /// Use DynamoDB and KMS of another AWS emulator, or of AWS
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Build the functions in release mode
    #[arg(long, global = true)]
    release: bool,
    /// Do not show the functions' logs
    #[arg(long, global = true)]
    quiet: bool,
    /// Use another template
    #[arg(long, value_name = "FILE", global = true)]
    template: Option<PathBuf>,
    /// Use existing binaries instead of building them
    #[arg(long, value_name = "DIR", global = true)]
    binaries: Option<PathBuf>,
}

fn ports(text: &str) -> Result<(u16, u16, u16), String> {
    let parts: Vec<Result<u16, _>> = text.split(',').map(|part| part.trim().parse()).collect();
    match parts.as_slice() {
        [Ok(gateway), Ok(ringcentral), Ok(aws)] => Ok((*gateway, *ringcentral, *aws)),
        _ => Err("expected three port numbers, such as 9400,9410,9420".to_owned()),
    }
}

/// Runs the command line. `root` is the workspace.
pub async fn run(root: &Path) -> ExitCode {
    let cli = Cli::parse();
    // dynoxide warns of every failed condition, which is normal here.
    let filter = EnvFilter::new("warn,dynoxide=off,s3s=off");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let result = match cli.command {
        Some(Command::Demo) => run_demo(root, &cli.settings).await,
        Some(Command::Tenant) => print_tenant(root, &cli.settings).await,
        Some(Command::Env) => print_environment(root, &cli.settings).await,
        Some(Command::Router) => print_router(root, &cli.settings),
        Some(Command::Bench) => run_bench(root, &cli.settings).await,
        None => serve(root, &cli.settings).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            note(&format!("error: {}", format!("{error:#}").replace('\n', " ")));
            ExitCode::FAILURE
        }
    }
}

async fn serve(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stack = tokio::select! {
        started = start(root, settings) => started?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };
    print_ready(&stack, root, settings).await?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    // The terminal shows ^C at the start of the line.
    note(if std::io::stderr().is_terminal() { "\nstopping" } else { "stopping" });
    tokio::select! {
        stopped = tokio::time::timeout(Duration::from_secs(5), stack.stop()) => {
            stopped.context("some parts did not stop within 5 seconds")??;
            Ok(ExitCode::SUCCESS)
        }
        // At the second Ctrl-C, all processes have been killed already.
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
    }
}

/// Builds the functions and starts the stack, with a progress line that is gone afterwards.
async fn start(root: &Path, settings: &CliOptions) -> Result<Stack> {
    let mut progress = ProgressLine::on_stderr();
    let options = built_options(root, settings, &mut progress).await?;
    progress.step("Starting the stack…");
    Stack::start(options).await
}

/// The options of the stack, after the functions are built.
async fn built_options(
    root: &Path,
    settings: &CliOptions,
    progress: &mut ProgressLine,
) -> Result<StackOptions> {
    let mut options = options(root, settings);
    if let Some(folder) = &settings.binaries {
        options.binaries = folder
            .canonicalize()
            .with_context(|| format!("the folder {} does not exist", folder.display()))?;
    } else if options.parts.gateway() {
        // Errors in the template are reported before minutes of building.
        let template = Template::read(&options.template, &TemplateOverrides::without_stack())?;
        let functions: BTreeSet<String> =
            template.functions.into_iter().map(|function| function.binary).collect();
        let profile = if settings.release { BuildProfile::Release } else { BuildProfile::Debug };
        let build = build::functions(root, profile, &functions, progress).await?;
        if !build.complete {
            options.unbuilt = functions.difference(&build.binaries).cloned().collect();
            let names: Vec<&str> = options.unbuilt.iter().map(String::as_str).collect();
            progress.print(&format!("failed to build, so not running: {}", names.join(", ")));
        }
        options.binaries = build.folder;
    }
    Ok(options)
}

fn options(root: &Path, settings: &CliOptions) -> StackOptions {
    let data = match &settings.data {
        Some(memory) if memory.as_os_str() == ":memory:" => DataLocation::Memory,
        Some(folder) => DataLocation::Folder(folder.clone()),
        None => DataLocation::Folder(root.join(".local")),
    };
    StackOptions {
        ports: settings.ports,
        data,
        template: settings.template.clone().unwrap_or_else(|| root.join("template.yaml")),
        binaries: root.join("target/debug"),
        unbuilt: BTreeSet::new(),
        parts: match (settings.aws_only, settings.sim_only) {
            (false, false) => StackParts::All,
            (true, false) => StackParts::AwsOnly,
            (false, true) => StackParts::SimulatorOnly,
            (true, true) => StackParts::AwsAndSimulator,
        },
        public_url: settings.public_url.clone(),
        endpoint_url: settings.endpoint_url.clone(),
        instances: DEFAULT_INSTANCES,
        shards: None,
    }
}

/// Prints the banner or `stack.json`, and shows the functions' logs from then on.
#[expect(clippy::print_stdout, reason = "the output of the command")]
async fn print_ready(stack: &Stack, root: &Path, settings: &CliOptions) -> Result<()> {
    for message in stack.notes() {
        note(message);
    }
    let info = stack.info();
    if settings.json {
        println!("{}", serde_json::to_string(info)?);
    } else {
        let link = match info.gateway {
            Some(_) => bootstrap::connect_link(info).await.unwrap_or_else(|error| {
                note(&format!("no connect link could be created: {error:#}"));
                None
            }),
            None => None,
        };
        let file = options(root, settings).data.folder().map(|folder| shortest(&folder.join(STACK_FILE)));
        println!("{}", banner(info, link.as_deref(), file.as_deref()));
    }
    stack.logs().show(match (settings.quiet, settings.json) {
        (true, _) => LogDisplay::Hidden,
        (false, true) => LogDisplay::Raw,
        (false, false) => LogDisplay::Short,
    });
    Ok(())
}

/// A path relative to the working directory, if it is inside.
fn shortest(path: &Path) -> PathBuf {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(current).unwrap_or(path).to_owned()
}

async fn run_demo(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    if let Some(info) = running_gateway(root, settings).await {
        print_demo(&info).await?;
        return Ok(ExitCode::SUCCESS);
    }
    note("no stack is running; starting one for the demo");
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stack = tokio::select! {
        started = start(root, settings) => started?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
    };
    for message in stack.notes() {
        note(message);
    }
    let result = tokio::select! {
        result = print_demo(stack.info()) => result.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
    };
    stack.stop().await?;
    result
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
async fn print_demo(info: &StackInfo) -> Result<()> {
    if info.gateway.is_none() {
        bail!("the running stack has no gateway");
    }
    demo::run(info, &mut |line| println!("{line}")).await?;
    println!("\nDone: connected, sent and received.");
    Ok(())
}

/// Tenant and key are stored in `stack.json`, where the next start of the stack finds them.
#[expect(clippy::print_stdout, reason = "the output of the command")]
async fn print_tenant(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    let options = options(root, settings);
    let mut info = running_stack(&options)
        .await
        .context("no stack is running on this data folder; start one with cargo local")?;
    let (tenant_id, api_key) = match (info.tenant_id.clone(), info.api_key.clone()) {
        (Some(tenant_id), Some(api_key)) => (tenant_id, api_key),
        _ => {
            let url = options.functions_url(info.gateway.as_deref());
            bootstrap::create_tenant(&url, info.operator_key.as_deref())
                .await
                .with_context(|| format!("no tenant could be created at {url}"))?
        }
    };
    info.tenant_id = Some(tenant_id.clone());
    info.api_key = Some(api_key.clone());
    if let Some(folder) = options.data.folder() {
        state_file::write_private(&folder.join(STACK_FILE), &serde_json::to_vec_pretty(&info)?)?;
    }
    println!("TENANT_ID={tenant_id}\nAPI_KEY={api_key}");
    Ok(ExitCode::SUCCESS)
}

/// The variables of all functions, for a stack without gateway and functions.
#[expect(clippy::print_stdout, reason = "the output of the command")]
async fn print_environment(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    let options = options(root, settings);
    let info = running_stack(&options)
        .await
        .context("no stack is running on this data folder; start one with cargo local")?;
    for (name, value) in watch::environment(&info, &options)? {
        println!("{name}={value}");
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
fn print_router(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    let template = Template::read(&options(root, settings).template, &TemplateOverrides::without_stack())?;
    for line in watch::router_lines(&template) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures a new stack that keeps nothing.
#[expect(clippy::print_stdout, reason = "the output of the command")]
async fn run_bench(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    let mut progress = ProgressLine::on_stderr();
    let mut options = built_options(root, settings, &mut progress).await?;
    progress.clear();
    options.data = DataLocation::Memory;
    options.ports = Some((0, 0, 0));
    for line in bench::run(options).await? {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The stack of the data folder, if it runs with a gateway.
async fn running_gateway(root: &Path, settings: &CliOptions) -> Option<StackInfo> {
    running_stack(&options(root, settings)).await.filter(|info| info.gateway.is_some())
}

/// The stack of the data folder, if it responds.
async fn running_stack(options: &StackOptions) -> Option<StackInfo> {
    let info: StackInfo = StateFile::new(options.data.folder(), STACK_FILE).load().ok()?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().ok()?;
    let url = match (&info.gateway, &info.aws) {
        (Some(gateway), _) => format!("{gateway}/_local/clock"),
        (None, Some(aws)) => format!("{aws}/_aws/faults"),
        (None, None) => return None,
    };
    let response = client.get(url).send().await.ok()?;
    response.status().is_success().then_some(info)
}

#[expect(clippy::print_stderr, reason = "messages for the user, separate from the output on stdout")]
fn note(line: &str) {
    eprintln!("{line}");
}
