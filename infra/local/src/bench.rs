//! `cargo local bench`: the latency that the stack adds to a warm request, the cold starts of all functions, and memory.

use crate::event;
use crate::functions::FunctionPools;
use crate::instance::{Instance, InstanceSettings, InstanceState, RunningProcesses};
use crate::logs::FunctionLogs;
use crate::options::StackOptions;
use crate::routes::RouteMatch;
use crate::runtime_api::RuntimeInvocation;
use crate::server::HttpRequest;
use crate::stack::Stack;
use crate::template::{FunctionResource, Template, TemplateOverrides};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Measured requests of each kind. They alternate, so that both see the same load of the machine.
const ROUNDS: usize = 500;
/// The measured route, whose function does nothing but respond.
const ROUTE: &str = "/health";

/// Starts a stack, measures it, and returns the lines to print.
pub async fn run(options: StackOptions) -> Result<Vec<String>> {
    let template = Template::read(&options.template, &TemplateOverrides::without_stack())?;
    let settings = InstanceSettings {
        binaries: options.binaries.clone(),
        unbuilt: options.unbuilt.clone(),
        aws_url: String::new(),
        clock: crate::clock::StackClock::default(),
    };
    let began = Instant::now();
    let stack = Stack::start(options).await?;
    let mut lines = vec![format!("start of the stack with a tenant: {} ms", began.elapsed().as_millis())];
    lines.extend(warm(&template, &settings, &stack).await?);
    lines.push(memory("at the start"));
    lines.push(cold(&template, &stack).await?);
    stack.wait_until_idle().await;
    lines.push(memory("with every function warm"));
    if let Some(functions) = stack.functions() {
        functions.stop_idle_instances();
    }
    lines.push(memory("after idle instances were stopped"));
    lines.extend(hottest_keys(&stack).await?);
    stack.stop().await?;
    Ok(lines)
}

/// The partition keys of DynamoDB that consumed the most units in a second.
async fn hottest_keys(stack: &Stack) -> Result<Vec<String>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let response = client.get(format!("{}/_aws/hot", stack.info().aws())).send().await?;
    let hot: Value = serde_json::from_slice(&response.bytes().await?)?;
    let keys = hot["keys"].as_array().into_iter().flatten().take(3);
    let line = |key: &Value| {
        let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let (table, index, name) = (text("table"), text("index"), text("key"));
        let (write, read) = (&key["writeUnits"], &key["readUnits"]);
        format!("hot key: {table} {index} {name}: {write} write units, {read} read units in a second")
    };
    Ok(keys.map(line).collect())
}

/// Compares direct invocations of an instance with requests through the gateway.
async fn warm(template: &Template, settings: &InstanceSettings, stack: &Stack) -> Result<Vec<String>> {
    let function = template
        .functions
        .iter()
        .find(|function| function.routes.iter().any(|route| route.path == ROUTE))
        .with_context(|| format!("the template has no route {ROUTE}"))?;
    let aws_url = stack.info().aws().to_owned();
    let settings = InstanceSettings { aws_url, ..settings.clone() };
    let mut instance = start(function, &settings).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}{ROUTE}", stack.info().gateway());
    let (mut direct, mut gateway) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    let functions = stack.functions().context("the stack runs no functions")?;
    for round in 0..ROUNDS + 20 {
        // Work of the other instance after its response must not count.
        functions.wait_until_idle().await;
        let began = Instant::now();
        invoke_directly(&mut instance, function, stack).await?;
        let direct_time = began.elapsed();
        if instance.finish(function.timeout).await == InstanceState::Exited {
            bail!("{} exited", function.binary);
        }
        let began = Instant::now();
        let response = client.get(&url).send().await?;
        if !response.status().is_success() {
            bail!("{ROUTE} returned {}", response.status());
        }
        response.bytes().await?;
        // The first rounds are a warm-up.
        if round >= 20 {
            direct.push(direct_time);
            gateway.push(began.elapsed());
        }
    }
    instance.kill().await;
    let (direct, gateway) = (median(&mut direct), median(&mut gateway));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(vec![
        format!("warm {ROUTE}, median of {ROUNDS}:"),
        format!("  direct invocation over a Runtime API {:>7.3} ms", milliseconds(direct)),
        format!("  HTTP through the local stack         {:>7.3} ms", milliseconds(gateway)),
        format!(
            "  added by the stack                   {:>7.3} ms",
            milliseconds(gateway.saturating_sub(direct))
        ),
    ])
}

async fn start(function: &FunctionResource, settings: &InstanceSettings) -> Result<Instance> {
    let started =
        Instance::start(function, settings, 0, 0, &FunctionLogs::default(), &RunningProcesses::default())
            .await;
    started.map_err(|error| anyhow!("{} did not start: {error:?}", function.binary))
}

async fn invoke_directly(instance: &mut Instance, function: &FunctionResource, stack: &Stack) -> Result<()> {
    let request = HttpRequest {
        method: hyper::Method::GET,
        uri: ROUTE.parse()?,
        headers: hyper::HeaderMap::new(),
        body: Bytes::new(),
        peer: ([127, 0, 0, 1], 0).into(),
    };
    let route = RouteMatch {
        function: function.binary.clone(),
        route_key: format!("GET {ROUTE}"),
        parameters: BTreeMap::new(),
    };
    let request_id = uuid::Uuid::new_v4().to_string();
    let now = stack.clock().now();
    let invocation = RuntimeInvocation {
        payload: event::request_event(&request, &route, &request_id, now).to_string().into(),
        request_id,
        deadline_ms: now.as_millisecond() + 10_000,
        function_arn: function.name.clone(),
    };
    let result = instance.invoke(invocation, function.timeout).await;
    result.map(|_| ()).map_err(|error| anyhow!("{} failed: {error:?}", function.binary))
}

/// Requests every function with a route once, one after the other.
async fn cold(template: &Template, stack: &Stack) -> Result<String> {
    let functions: &FunctionPools = stack.functions().context("the stack runs no functions")?;
    functions.restart();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let began = Instant::now();
    let mut count = 0;
    for function in &template.functions {
        let Some(route) = function.routes.iter().find(|route| route.path.starts_with('/')) else { continue };
        let method = route.method.parse().unwrap_or(reqwest::Method::GET);
        let path = route.path.replace(['{', '}', '+'], "");
        let response = client.request(method, format!("{}{path}", stack.info().gateway())).send().await?;
        // Most functions reject a request without a key, but that takes a complete cold start too.
        if response.status() == reqwest::StatusCode::INTERNAL_SERVER_ERROR {
            bail!("{path} returned {}", response.status());
        }
        count += 1;
    }
    Ok(format!("cold starts of {count} functions: {} ms", began.elapsed().as_millis()))
}

/// The memory of the runner and its processes. Shared pages count once.
fn memory(when: &str) -> String {
    let own = std::process::id();
    let mut parents: BTreeMap<u32, u32> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which may contain anything, come state and parent.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (pid, parent)));
    }
    let is_descendant = |mut pid: u32| {
        while pid != own {
            match parents.get(&pid) {
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        true
    };
    let pids: Vec<u32> = parents.keys().copied().filter(|pid| is_descendant(*pid)).collect();
    let kilobytes: u64 = pids.iter().filter_map(|pid| proportional_size(*pid)).sum();
    format!("memory {when}: {} MB in {} processes", kilobytes / 1024, pids.len())
}

/// A process's memory in kilobytes, with its proportion of shared pages.
fn proportional_size(pid: u32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
