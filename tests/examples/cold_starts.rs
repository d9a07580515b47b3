//! Measures cold starts, warm latency, CPU time and memory of functions beside the smallest functions that one would write: a
//! response, and one GetItem with the AWS SDK (`tests/reference`).
//!
//! ```sh
//! cargo build --release --package reference --package get-health --package show-docs --package get-status --package send-sms
//! cargo run --package tests --example cold_starts       # 20 rounds; an argument sets another number
//! ```
//!
//! Each round starts every program once, in random order, against a Runtime API of this program, and calls it 50 times. The local
//! stack behind the functions is a debug build, so the functions wait longer for it than for AWS on the same machine: compare only
//! figures of one run.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic on a failure")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below the limit")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use local::{StackOptions, watch};
use measure::{ms, percentile};
use reqwest::Method;
use serde_json::{Value, json};
use world::{World, root};

mod measure;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "only the tests use the rest of it")]
mod world;

const ROUNDS: usize = 20;
/// Warm calls of each process.
const CALLS: usize = 50;
const HELLO: &str = "reference-hello";
const GET_ITEM: &str = "reference-get-item";

/// A measured program, and the one it is compared with.
struct Program {
    name: &'static str,
    compared_with: &'static str,
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
}

impl Program {
    fn get(name: &'static str, compared_with: &'static str, path: &'static str) -> Self {
        Self { name, compared_with, method: "GET", path, body: None }
    }
}

/// What was measured in all rounds.
#[derive(Default)]
struct Figures {
    /// From the start of the process to its request for the first invocation.
    init: Vec<Duration>,
    /// `init`, and the first invocation.
    cold: Vec<Duration>,
    cold_cpu: Vec<Duration>,
    warm: Vec<Duration>,
    /// Of a warm call, on average over the calls of a process.
    warm_cpu: Vec<Duration>,
    /// Most memory of a process, in kilobytes.
    memory: u64,
}

#[tokio::main]
async fn main() {
    let rounds = std::env::args().nth(1).map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let world = World::with_default_parameters().await;
    let tenant = world.tenant();
    let order = json!({ "limits": { "requestsPerMinute": 100_000, "tenantRequestsPerMinute": 100_000 } });
    let path = format!("/v1/tenants/{}", tenant.id);
    world.call(Method::PATCH, &path, &world.operator_key(), Some(order)).await.expect(200);
    world.connect(&tenant, &world.user(0)).await.expect(303);
    world.idle().await;
    // The worker of the accepted messages fails at once, so that it takes no CPU from what is measured.
    let failure = json!({ "error": "ThrottlingException" });
    world.aws_fault(json!({ "function": "deliver-sms" }), 0, None, failure).await;

    let mut variables = watch::environment(world.stack.info(), &StackOptions::for_tests(&root())).unwrap();
    if let Some(bundle) = CERTIFICATES.iter().find(|path| Path::new(path).exists()) {
        variables.insert("SSL_CERT_FILE".to_owned(), (*bundle).to_owned());
    }
    let message = json!({ "to": "+16505550111", "from": "+14155550100", "body": "Hello" });
    let programs = [
        Program::get(HELLO, HELLO, "/"),
        Program::get("get-health", HELLO, "/health"),
        Program::get("show-docs", HELLO, "/docs"),
        Program::get(GET_ITEM, GET_ITEM, "/"),
        Program::get("get-status", GET_ITEM, "/v1/rc/status"),
        Program {
            name: "send-sms",
            compared_with: GET_ITEM,
            method: "POST",
            path: "/v1/sms/send",
            body: Some(message),
        },
    ];
    let key = tenant.key.clone();
    let table = tokio::task::spawn_blocking(move || {
        let figures = measure_rounds(&programs, &variables, &key, rounds);
        table(&programs, &figures)
    });
    println!("{}", table.await.unwrap());
}

/// Where systems keep the root certificates; Lambda has one bundle.
const CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

fn measure_rounds(
    programs: &[Program],
    variables: &BTreeMap<String, String>,
    key: &str,
    rounds: usize,
) -> Vec<Figures> {
    let mut figures: Vec<Figures> = programs.iter().map(|_| Figures::default()).collect();
    let mut random = 0x5eed_u64;
    for _ in 0..rounds {
        let mut order: Vec<usize> = (0..programs.len()).collect();
        for at in (1..order.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(at, usize::try_from(random >> 33).unwrap() % (at + 1));
        }
        for at in order {
            run(&programs[at], variables, key, &mut figures[at]);
        }
    }
    figures
}

/// Starts a program once, and calls it.
fn run(program: &Program, variables: &BTreeMap<String, String>, key: &str, figures: &mut Figures) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || accept(&listener, &sender));
    let event = event(program, key).to_string();

    let began = Instant::now();
    let mut child = Command::new(binary(program.name))
        .env_clear()
        .envs(variables)
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", program.name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let next = receive(&requests, program);
    figures.init.push(next.at - began);
    let (first, next) = invoke(&next, &requests, &event, program);
    figures.cold.push(*figures.init.last().unwrap() + first);
    let cold_cpu = cpu_time(child.id());
    figures.cold_cpu.push(cold_cpu);
    let mut next = next;
    for _ in 0..CALLS {
        let (took, then) = invoke(&next, &requests, &event, program);
        figures.warm.push(took);
        next = then;
    }
    figures.warm_cpu.push((cpu_time(child.id()) - cold_cpu) / u32::try_from(CALLS).unwrap());
    figures.memory = figures.memory.max(peak_memory(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A request of the program, and where to answer it.
struct RuntimeRequest {
    at: Instant,
    line: String,
    body: String,
    stream: TcpStream,
}

/// Gives the program an event. Returns how long it took, and the program's request for the next one.
fn invoke(
    next: &RuntimeRequest,
    requests: &Receiver<RuntimeRequest>,
    event: &str,
    program: &Program,
) -> (Duration, RuntimeRequest) {
    assert!(next.line.starts_with("GET /2018-06-01/runtime/invocation/next"), "{}", next.line);
    let headers = format!(
        "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\nLambda-Runtime-Deadline-Ms: 4102444800000\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:{}\r\n",
        program.name
    );
    let began = Instant::now();
    answer(&next.stream, "200 OK", &headers, event);
    let response = receive(requests, program);
    let took = response.at - began;
    let payload: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let status = payload["statusCode"].as_u64().unwrap_or_default();
    assert!((200..300).contains(&status), "{}: {} {}", program.name, response.line, response.body);
    answer(&response.stream, "202 Accepted", "", r#"{"status":"OK"}"#);
    (took, receive(requests, program))
}

fn receive(requests: &Receiver<RuntimeRequest>, program: &Program) -> RuntimeRequest {
    let received = requests.recv_timeout(Duration::from_secs(15));
    received.unwrap_or_else(|_| panic!("{} makes no request", program.name))
}

fn answer(mut stream: &TcpStream, status: &str, headers: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
}

fn accept(listener: &TcpListener, requests: &Sender<RuntimeRequest>) {
    for stream in listener.incoming().map_while(Result::ok) {
        stream.set_nodelay(true).unwrap();
        let requests = requests.clone();
        std::thread::spawn(move || while_open(&stream, &requests));
    }
}

/// Reads the requests of a connection.
fn while_open(stream: &TcpStream, requests: &Sender<RuntimeRequest>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        let mut is_chunked = false;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            let header = header.trim().to_ascii_lowercase();
            match header.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(("transfer-encoding", _)) => is_chunked = true,
                Some(_) => {}
            }
        }
        let mut body = Vec::new();
        if is_chunked {
            read_chunks(&mut reader, &mut body);
        } else {
            body.resize(length, 0);
            if reader.read_exact(&mut body).is_err() {
                return;
            }
        }
        let body = String::from_utf8(body).unwrap();
        let request = RuntimeRequest { at: Instant::now(), line, body, stream: stream.try_clone().unwrap() };
        if requests.send(request).is_err() {
            return;
        }
    }
}

fn read_chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).unwrap();
        if size == 0 {
            return;
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

/// The event of API Gateway for a request.
fn event(program: &Program, key: &str) -> Value {
    let Program { method, path, .. } = program;
    json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": "",
        "headers": {
            "accept": "application/json", "accept-encoding": "gzip, deflate, br", "authorization": format!("Bearer {key}"),
            "content-type": "application/json", "host": "sms.example.com", "user-agent": "example/1.0",
            "x-amzn-trace-id": "Root=1-65f0c1d2-0123456789abcdef01234567", "x-forwarded-for": "192.0.2.7",
            "x-forwarded-port": "443", "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "sms.example.com", "domainPrefix": "sms",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "example/1.0" },
            "requestId": "UjXd8gTfoAMEMlg=", "routeKey": format!("{method} {path}"), "stage": "$default",
            "time": "01/Jan/2030:00:00:00 +0000", "timeEpoch": 1_893_456_000_000_u64,
        },
        "body": program.body.as_ref().map(Value::to_string), "isBase64Encoded": false,
    })
}

fn binary(name: &str) -> PathBuf {
    // This example is in `debug/examples`.
    let example = std::env::current_exe().unwrap();
    example.ancestors().nth(3).unwrap().join("release").join(name)
}

/// The CPU time of a process's threads.
fn cpu_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// The most memory that a process has had, in kilobytes.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn table(programs: &[Program], figures: &[Figures]) -> String {
    let of = |name: &str| &figures[programs.iter().position(|program| program.name == name).unwrap()];
    let median = |times: &[Duration]| percentile(times, 50);
    let ratio = |own: Duration, other: Duration| format!("{:.2}", own.as_secs_f64() / other.as_secs_f64());
    let mut lines = vec![
        "| function | compared with | init ms | cold ms | times | cold CPU ms | times | warm ms | warm CPU ms | times | memory MB | file MB |"
            .to_owned(),
        format!("|{}", " --- |".repeat(12)),
    ];
    for (program, own) in programs.iter().zip(figures) {
        let other = of(program.compared_with);
        let bytes = std::fs::metadata(binary(program.name)).unwrap().len();
        lines.push(format!(
            "| `{}` | `{}` | {:.1} | {:.1} | {} | {:.1} | {} | {:.2} | {:.3} | {} | {:.1} | {:.1} |",
            program.name,
            program.compared_with,
            ms(median(&own.init)),
            ms(median(&own.cold)),
            ratio(median(&own.cold), median(&other.cold)),
            ms(median(&own.cold_cpu)),
            ratio(median(&own.cold_cpu), median(&other.cold_cpu)),
            ms(median(&own.warm)),
            ms(median(&own.warm_cpu)),
            ratio(median(&own.warm_cpu), median(&other.warm_cpu)),
            own.memory as f64 / 1024.0,
            bytes as f64 / 1e6,
        ));
    }
    lines.join("\n")
}
