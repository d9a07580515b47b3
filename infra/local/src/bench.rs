//! `cargo local bench`: what the stack adds to a warm request, beside a direct call of the same binary, the cold first
//! answers of all functions, and the memory of it all.

use crate::event;
use crate::functions::{Functions, Settings};
use crate::instance::{Instance, Pids};
use crate::logs::Logs;
use crate::options::Options;
use crate::routes::Match;
use crate::runtime_api::Invocation;
use crate::server::Call;
use crate::stack::Stack;
use crate::template::{Function, Template};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Warm calls of each kind, in turns, so that both meet the same moods of the machine.
const ROUNDS: usize = 500;
/// The route that is measured: it does nothing else than answer.
const ROUTE: &str = "/health";

/// Starts a stack, measures, and answers lines to print.
pub async fn run(options: Options) -> Result<Vec<String>> {
    let template = Template::read(&options.template, &crate::template::Overrides::default())?;
    let settings = Settings {
        binaries: options.binaries.clone(),
        unbuilt: options.unbuilt.clone(),
        aws_url: String::new(),
        clock: crate::clock::Clock::default(),
    };
    let began = Instant::now();
    let stack = Stack::start(options).await?;
    let mut lines = vec![format!("start of the stack, with a tenant: {} ms", began.elapsed().as_millis())];
    lines.extend(warm(&template, &settings, &stack).await?);
    lines.push(memory("before that, idle"));
    lines.push(cold(&template, &stack).await?);
    stack.settle().await;
    lines.push(memory("after that, with every function warm"));
    if let Some(functions) = stack.functions() {
        functions.reap();
    }
    lines.push(memory("some seconds later, idle"));
    stack.stop().await?;
    Ok(lines)
}

/// Warm answers: from an instance of our own, and through the gateway.
async fn warm(template: &Template, settings: &Settings, stack: &Stack) -> Result<Vec<String>> {
    let function = template
        .functions
        .iter()
        .find(|function| function.routes.iter().any(|route| route.path == ROUTE))
        .with_context(|| format!("the template has no route {ROUTE}"))?;
    let aws_url = stack.info().aws().to_owned();
    let settings = Settings { aws_url, ..settings.clone() };
    let mut instance = start(function, &settings).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}{ROUTE}", stack.info().gateway());
    let (mut direct, mut through) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    let functions = stack.functions().context("no functions run")?;
    for round in 0..ROUNDS + 20 {
        // What the other one does after its answer must not be in the time of this one.
        functions.idle().await;
        let began = Instant::now();
        call(&mut instance, function, stack).await?;
        let direct_time = began.elapsed();
        if !instance.settle(function.timeout).await {
            bail!("{} ended", function.binary);
        }
        let began = Instant::now();
        let answer = client.get(&url).send().await?;
        if !answer.status().is_success() {
            bail!("{ROUTE} answered {}", answer.status());
        }
        answer.bytes().await?;
        // The first rounds warm both up.
        if round >= 20 {
            direct.push(direct_time);
            through.push(began.elapsed());
        }
    }
    instance.kill().await;
    let (direct, through) = (median(&mut direct), median(&mut through));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(vec![
        format!("warm {ROUTE}, median of {ROUNDS}:"),
        format!("  direct call over a Runtime API   {:>7.3} ms", milliseconds(direct)),
        format!("  HTTP through the local stack     {:>7.3} ms", milliseconds(through)),
        format!(
            "  the stack adds                   {:>7.3} ms",
            milliseconds(through.saturating_sub(direct))
        ),
    ])
}

async fn start(function: &Function, settings: &Settings) -> Result<Instance> {
    let started = Instance::start(function, settings, 0, 0, &Logs::default(), &Pids::default()).await;
    started.map_err(|failure| anyhow!("{} does not start: {failure:?}", function.binary))
}

async fn call(instance: &mut Instance, function: &Function, stack: &Stack) -> Result<()> {
    let request = Call {
        method: hyper::Method::GET,
        uri: ROUTE.parse()?,
        headers: hyper::HeaderMap::new(),
        body: Bytes::new(),
        peer: ([127, 0, 0, 1], 0).into(),
    };
    let found = Match {
        function: function.binary.clone(),
        route_key: format!("GET {ROUTE}"),
        parameters: BTreeMap::new(),
    };
    let request_id = uuid::Uuid::new_v4().to_string();
    let now = stack.clock().now();
    let invocation = Invocation {
        payload: event::request_event(&request, &found, &request_id, now).to_string().into(),
        request_id,
        deadline_ms: now.as_millisecond() + 10_000,
        function_arn: function.name.clone(),
    };
    let answer = instance.invoke(invocation, function.timeout).await;
    answer.map(|_| ()).map_err(|failure| anyhow!("{} failed: {failure:?}", function.binary))
}

/// The first answer of every function with a route, one after the other.
async fn cold(template: &Template, stack: &Stack) -> Result<String> {
    let functions: &Functions = stack.functions().context("no functions run")?;
    functions.restart();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let began = Instant::now();
    let mut count = 0;
    for function in &template.functions {
        let Some(route) = function.routes.iter().find(|route| route.path.starts_with('/')) else { continue };
        let method = route.method.parse().unwrap_or(reqwest::Method::GET);
        let path = route.path.replace(['{', '}', '+'], "");
        let answer = client.request(method, format!("{}{path}", stack.info().gateway())).send().await?;
        // Without a key most of them refuse, which takes a whole cold start too.
        if answer.status() == reqwest::StatusCode::INTERNAL_SERVER_ERROR {
            bail!("{path} answered {}", answer.status());
        }
        count += 1;
    }
    Ok(format!("cold first answers of {count} functions together: {} ms", began.elapsed().as_millis()))
}

/// What the runner and its processes keep in memory; pages that several of them share are counted once.
fn memory(when: &str) -> String {
    let own = std::process::id();
    let mut parents: BTreeMap<u32, u32> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which may hold anything: state, parent.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (pid, parent)));
    }
    let is_ours = |mut pid: u32| {
        while pid != own {
            match parents.get(&pid) {
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        true
    };
    let ours: Vec<u32> = parents.keys().copied().filter(|pid| is_ours(*pid)).collect();
    let kilobytes: u64 = ours.iter().filter_map(|pid| proportional_size(*pid)).sum();
    format!("memory {when}: {} MB in {} processes", kilobytes / 1024, ours.len())
}

/// The kilobytes of a process, its part of what it shares included.
fn proportional_size(pid: u32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
