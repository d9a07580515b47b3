//! `cargo local`: options, the build, the table at the start, Ctrl-C, and the demo.

use crate::options::{Data, Options};
use crate::stack::{Stack, StackInfo};
use crate::state_file::StateFile;
use crate::template::{Overrides, Template};
use crate::{bench, bootstrap, build, demo, watch};
use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The whole system on this machine: gateway, RingCentral simulator, AWS endpoints.
#[derive(Debug, Parser)]
#[command(name = "cargo local", disable_version_flag = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: CliOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Does the main job end to end, against the running stack or one of its own, and shows each step.
    Demo,
    /// Prints the functions' environment for the running stack, for `cargo lambda watch --env-file`.
    Env,
    /// Prints the routes of the template for `[workspace.metadata.lambda.watch.router]` of Cargo.toml.
    Router,
    /// Measures what the stack adds to a warm request, and the cold first answers of all functions.
    Bench,
}

#[derive(Debug, Args)]
struct CliOptions {
    /// Ports of gateway, simulator and AWS endpoints; 0 is any free one.
    #[arg(long, value_name = "GATEWAY,RINGCENTRAL,AWS", value_parser = ports, global = true)]
    ports: Option<(u16, u16, u16)>,
    /// Folder that keeps everything between runs; ":memory:" keeps nothing. [default: .local in the workspace]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Prints stack.json on one line of stdout when everything answers.
    #[arg(long)]
    json: bool,
    /// Only the AWS endpoints (with --sim-only: both, without gateway and functions).
    #[arg(long)]
    aws_only: bool,
    /// Only the simulator.
    #[arg(long)]
    sim_only: bool,
    /// Where the functions are reached when no gateway runs here. [default: http://127.0.0.1:9000]
    #[arg(long, value_name = "URL", global = true)]
    public_url: Option<String>,
    /// Another AWS engine behind the AWS endpoints.
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Release builds of the functions.
    #[arg(long, global = true)]
    release: bool,
    /// Does not show what the functions write.
    #[arg(long, global = true)]
    quiet: bool,
    /// Another template.
    #[arg(long, value_name = "FILE", global = true)]
    template: Option<PathBuf>,
    /// Binaries that are built already; nothing is built.
    #[arg(long, value_name = "DIR", global = true)]
    binaries: Option<PathBuf>,
}

fn ports(text: &str) -> Result<(u16, u16, u16), String> {
    let parts: Vec<Result<u16, _>> = text.split(',').map(|part| part.trim().parse()).collect();
    match parts.as_slice() {
        [Ok(gateway), Ok(ringcentral), Ok(aws)] => Ok((*gateway, *ringcentral, *aws)),
        _ => Err("three port numbers are needed, as 9400,9410,9420".to_owned()),
    }
}

/// Runs the command line; `root` is the workspace.
pub async fn run(root: &Path) -> ExitCode {
    let cli = Cli::parse();
    // Warnings of the parts. The tables' engine warns of every condition that fails, which is daily business here.
    let filter = EnvFilter::new("warn,dynoxide=off");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let outcome = match cli.command {
        Some(Command::Demo) => show_demo(root, &cli.settings).await,
        Some(Command::Env) => show_environment(root, &cli.settings).await,
        Some(Command::Router) => show_router(root, &cli.settings),
        Some(Command::Bench) => measure(root, &cli.settings).await,
        None => serve(root, &cli.settings).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("error: {}", format!("{error:#}").replace('\n', " ")));
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
    introduce(&stack, settings).await?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tell("stopping");
    tokio::select! {
        stopped = tokio::time::timeout(Duration::from_secs(5), stack.stop()) => {
            stopped.context("not everything stopped within 5 seconds")??;
            Ok(ExitCode::SUCCESS)
        }
        // Asked twice: every process was killed already, so nothing is left to wait for.
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
    }
}

async fn start(root: &Path, settings: &CliOptions) -> Result<Stack> {
    Stack::start(built_options(root, settings).await?).await
}

/// The options, with the functions built.
async fn built_options(root: &Path, settings: &CliOptions) -> Result<Options> {
    let mut options = options(root, settings);
    if let Some(folder) = &settings.binaries {
        options.binaries =
            folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
    } else if options.runs_gateway() {
        // A template that does not parse is told before minutes of building.
        Template::read(&options.template, &Overrides::default())?;
        let built = build::functions(root, settings.release).await?;
        if !built.complete {
            let wanted = function_folders(root);
            options.unbuilt = wanted.into_iter().filter(|name| !built.binaries.contains(name)).collect();
            let names: Vec<&str> = options.unbuilt.iter().map(String::as_str).collect();
            tell(&format!("these do not build, the others run: {}", names.join(", ")));
        }
        options.binaries = built.folder;
    }
    Ok(options)
}

fn options(root: &Path, settings: &CliOptions) -> Options {
    let data = match &settings.data {
        Some(memory) if memory.as_os_str() == ":memory:" => Data::Memory,
        Some(folder) => Data::Folder(folder.clone()),
        None => Data::Folder(root.join(".local")),
    };
    Options {
        ports: settings.ports,
        data,
        template: settings.template.clone().unwrap_or_else(|| root.join("template.yaml")),
        binaries: root.join("target/debug"),
        unbuilt: Default::default(),
        parameters: BTreeMap::new(),
        aws_only: settings.aws_only,
        sim_only: settings.sim_only,
        public_url: settings.public_url.clone(),
        endpoint_url: settings.endpoint_url.clone(),
        tenant: true,
        show_logs: !settings.quiet && !settings.json,
    }
}

fn function_folders(root: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(root.join("functions")).into_iter().flatten().flatten();
    folders.filter_map(|folder| folder.file_name().into_string().ok()).collect()
}

/// The short table at the start, or one line of JSON.
#[expect(clippy::print_stdout, reason = "this is what the command answers")]
async fn introduce(stack: &Stack, settings: &CliOptions) -> Result<()> {
    for note in stack.notes() {
        tell(note);
    }
    if settings.json {
        println!("{}", serde_json::to_string(stack.info())?);
        return Ok(());
    }
    let info = stack.info();
    println!();
    for (part, address) in [
        ("gateway", &info.gateway),
        ("RingCentral simulator", &info.ringcentral),
        ("AWS endpoints", &info.aws),
    ] {
        if let Some(address) = address {
            println!("  {part:<22} {address}");
        }
    }
    if info.gateway.is_some() {
        match bootstrap::connect_link(info).await {
            Ok(Some(link)) => println!("  {:<22} {link}", "connect RingCentral"),
            Ok(None) => {}
            Err(error) => tell(&format!("no connect link could be made: {error:#}")),
        }
        println!("\n  next: open the link, or in another terminal: cargo local demo");
    }
    println!("  Ctrl-C stops everything\n");
    Ok(())
}

async fn show_demo(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    if let Some(info) = running(root, settings).await {
        demonstrate(&info).await?;
        return Ok(ExitCode::SUCCESS);
    }
    tell("no stack is running: starting one for the demo");
    let mut interrupt = signal(SignalKind::interrupt())?;
    let starting = async {
        let options = built_options(root, settings).await?;
        // The steps are what one wants to see, not the logs.
        Stack::start(Options { show_logs: false, ..options }).await
    };
    let stack = tokio::select! {
        started = starting => started?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
    };
    for note in stack.notes() {
        tell(note);
    }
    let outcome = tokio::select! {
        outcome = demonstrate(stack.info()) => outcome.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
    };
    stack.stop().await?;
    outcome
}

/// The environment of all functions, for a stack that runs only the parts around them.
#[expect(clippy::print_stdout, reason = "this is what the command answers")]
async fn show_environment(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    let info = written(root, settings).await.context("no stack is running on this data folder")?;
    let options = options(root, settings);
    for (name, value) in watch::environment(&info, &options)? {
        println!("{name}={value}");
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "this is what the command answers")]
fn show_router(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    let template = Template::read(&options(root, settings).template, &Overrides::default())?;
    for line in watch::router_lines(&template) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures a stack of its own; nothing is kept.
#[expect(clippy::print_stdout, reason = "this is what the command answers")]
async fn measure(root: &Path, settings: &CliOptions) -> Result<ExitCode> {
    let mut options = built_options(root, settings).await?;
    options.data = Data::Memory;
    options.ports = Some((0, 0, 0));
    options.show_logs = false;
    for line in bench::run(options).await? {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "this is what the command answers")]
async fn demonstrate(info: &StackInfo) -> Result<()> {
    if info.gateway.is_none() {
        bail!("the running stack has no gateway");
    }
    demo::run(info, &mut |line| println!("{line}")).await?;
    println!("\nDone: connected end to end.");
    Ok(())
}

/// The stack of the data folder, if its gateway answers.
async fn running(root: &Path, settings: &CliOptions) -> Option<StackInfo> {
    written(root, settings).await.filter(|info| info.gateway.is_some())
}

/// What the stack of the data folder has written, if it answers.
async fn written(root: &Path, settings: &CliOptions) -> Option<StackInfo> {
    let options = options(root, settings);
    let info: StackInfo = StateFile::new(options.data.folder(), "stack.json").load().ok()?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().ok()?;
    let sign_of_life = match (&info.gateway, &info.aws) {
        (Some(gateway), _) => format!("{gateway}/_local/clock"),
        (None, Some(aws)) => format!("{aws}/_aws/faults"),
        (None, None) => return None,
    };
    let answer = client.get(sign_of_life).send().await.ok()?;
    answer.status().is_success().then_some(info)
}

#[expect(clippy::print_stderr, reason = "what a person should know, apart from the answer on stdout")]
fn tell(line: &str) {
    eprintln!("{line}");
}
