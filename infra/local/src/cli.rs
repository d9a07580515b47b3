//! `cargo local`: options, the build, the table at the start, Ctrl-C, and the demo.

use crate::options::{Data, Options};
use crate::stack::{Stack, StackInfo};
use crate::state_file::StateFile;
use crate::{bootstrap, build, demo};
use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

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
    /// Another AWS engine behind the AWS endpoints.
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Release builds of the functions.
    #[arg(long, global = true)]
    release: bool,
    /// Does not show what the functions write.
    #[arg(long, global = true)]
    quiet: bool,
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
    let outcome = match cli.command {
        Some(Command::Demo) => show_demo(root, &cli.settings).await,
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
    let mut options = options(root, settings);
    if options.runs_gateway() {
        let built = build::functions(root, settings.release).await?;
        if !built.complete {
            let wanted = function_folders(root);
            options.unbuilt = wanted.into_iter().filter(|name| !built.binaries.contains(name)).collect();
            let names: Vec<&str> = options.unbuilt.iter().map(String::as_str).collect();
            tell(&format!("these do not build, the others run: {}", names.join(", ")));
        }
        options.binaries = built.folder;
    }
    Stack::start(options).await
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
        template: root.join("template.yaml"),
        binaries: root.join("target/debug"),
        unbuilt: Default::default(),
        parameters: BTreeMap::new(),
        aws_only: settings.aws_only,
        sim_only: settings.sim_only,
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
    let stack = tokio::select! {
        started = start(root, settings) => started?,
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

#[expect(clippy::print_stdout, reason = "this is what the command answers")]
async fn demonstrate(info: &StackInfo) -> Result<()> {
    if info.gateway.is_none() {
        bail!("the running stack has no gateway");
    }
    demo::run(info, &mut |line| println!("{line}")).await?;
    println!("\nDone: connected end to end.");
    Ok(())
}

/// The stack of the data folder, if it answers.
async fn running(root: &Path, settings: &CliOptions) -> Option<StackInfo> {
    let options = options(root, settings);
    let info: StackInfo = StateFile::new(options.data.folder(), "stack.json").load().ok()?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().ok()?;
    let answer = client.get(format!("{}/_local/clock", info.gateway.as_ref()?)).send().await.ok()?;
    answer.status().is_success().then_some(info)
}

#[expect(clippy::print_stderr, reason = "what a person should know, apart from the answer on stdout")]
fn tell(line: &str) {
    eprintln!("{line}");
}
