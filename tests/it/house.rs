//! Conventions that neither the compiler nor a lint enforces: which module may import which, which module alone may use an
//! API, and that folders, `template.yaml` and ARCHITECTURE.md agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{code_of, find_word, imports, line_of};

/// A layer of `shared`.
struct Layer {
    name: &'static str,
    /// Its modules.
    modules: &'static [&'static str],
    /// The layers below that it may import.
    may_import: &'static [&'static str],
    /// What its code must not contain.
    must_not_know: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "base",
        modules: &["error", "clock", "limits", "retry"],
        may_import: &[],
        must_not_know: &["lambda_http", "lambda_runtime", "aws_", "reqwest", "tokio"],
    },
    Layer {
        name: "domain",
        modules: &["model"],
        may_import: &["base"],
        must_not_know: &[
            "await",
            "lambda_http",
            "lambda_runtime",
            "aws_sdk",
            "aws_types",
            "reqwest",
            "tokio",
        ],
    },
    Layer {
        name: "adapters",
        modules: &[
            "aws",
            "ringcentral",
            "vault",
            "store",
            "invoke",
            "queue",
            "schedule",
            "media_bucket",
            "cache",
            "outbound",
            "span",
        ],
        may_import: &["base", "domain"],
        must_not_know: &["lambda_http", "lambda_runtime"],
    },
    Layer {
        name: "context",
        modules: &["config", "gateway"],
        may_import: &["base", "domain", "adapters"],
        must_not_know: &["lambda_http", "lambda_runtime", "StatusCode"],
    },
    Layer {
        name: "services",
        modules: &[
            "links",
            "connect",
            "app_check",
            "setup",
            "renewal",
            "keepalive",
            "tokens",
            "revocation",
            "disconnect",
            "registration",
            "apps",
            "deletion",
            "rate_limits",
            "circuit_breaker",
            "delivery",
            "polling",
            "sending",
            "media",
            "media_copy",
            "consents",
            "consent_sync",
            "consent_changes",
            "receiving",
            "message_sync",
            "views",
            "batch",
            "due_work",
            "quarantine",
            "reprocessing",
            "settings",
        ],
        may_import: &["base", "domain", "adapters", "context"],
        must_not_know: &["lambda_http", "lambda_runtime", "StatusCode", "aws_sdk", "aws_types", "reqwest"],
    },
    Layer {
        name: "http",
        modules: &["auth", "http", "pages", "telemetry", "run"],
        may_import: &["base", "domain", "adapters", "context", "services"],
        must_not_know: &["aws_sdk", "aws_types", "reqwest"],
    },
];

/// The arrows inside a layer. There are no others.
const ARROWS: &[(&str, &str)] = &[
    ("invoke", "aws"),
    ("media_bucket", "aws"),
    ("media_copy", "media"),
    ("media_copy", "sending"),
    ("media_copy", "tokens"),
    ("receiving", "media"),
    ("sending", "media"),
    ("views", "media"),
    ("store", "cache"),
    ("gateway", "config"),
    ("connect", "circuit_breaker"),
    ("connect", "revocation"),
    ("app_check", "circuit_breaker"),
    ("views", "app_check"),
    ("circuit_breaker", "rate_limits"),
    ("tokens", "circuit_breaker"),
    ("tokens", "rate_limits"),
    ("tokens", "revocation"),
    ("tokens", "keepalive"),
    ("revocation", "circuit_breaker"),
    ("revocation", "keepalive"),
    ("setup", "tokens"),
    ("due_work", "batch"),
    ("setup", "due_work"),
    ("keepalive", "due_work"),
    ("deletion", "due_work"),
    ("delivery", "due_work"),
    ("sending", "due_work"),
    ("sending", "tokens"),
    ("views", "sending"),
    ("renewal", "setup"),
    ("renewal", "tokens"),
    ("links", "rate_limits"),
    ("apps", "registration"),
    ("consent_changes", "consents"),
    ("consent_changes", "tokens"),
    ("deletion", "disconnect"),
    ("deletion", "revocation"),
    ("auth", "http"),
    ("disconnect", "revocation"),
    ("disconnect", "due_work"),
    ("views", "registration"),
    ("message_sync", "receiving"),
    ("message_sync", "sending"),
    ("message_sync", "tokens"),
    ("message_sync", "due_work"),
    ("renewal", "due_work"),
    ("delivery", "registration"),
    ("receiving", "quarantine"),
    ("consent_sync", "consents"),
    ("consent_sync", "setup"),
    ("consent_sync", "tokens"),
    ("renewal", "consent_sync"),
    ("receiving", "consents"),
    ("sending", "consents"),
    ("message_sync", "quarantine"),
    ("setup", "quarantine"),
    ("reprocessing", "quarantine"),
    ("reprocessing", "receiving"),
    ("reprocessing", "message_sync"),
    ("reprocessing", "setup"),
    ("pages", "http"),
    ("run", "http"),
    ("run", "telemetry"),
];

/// What only some modules of `shared` may know, wherever they are in the table.
const OWNERS: &[(&str, &[&str])] = &[
    ("env::", &["config"]),
    ("aws_types", &["aws", "gateway"]),
    ("aws_credential_types", &["aws", "config"]),
    ("aws_sigv4", &["aws"]),
    ("aws_smithy", &["aws", "store"]),
    ("aws_sdk_dynamodb", &["store", "gateway"]),
    ("aws_sdk_kms", &["vault", "gateway"]),
    ("aws_sdk_sqs", &["queue", "gateway"]),
    ("aws_sdk_scheduler", &["schedule", "gateway"]),
    ("reqwest", &["ringcentral"]),
    ("hyper", &["outbound"]),
    ("tokio_rustls", &["outbound"]),
    ("askama", &["pages"]),
    ("tracing_subscriber", &["telemetry"]),
    ("StatusCode", &["http", "pages", "ringcentral"]),
    // Only `tokens` refreshes a stored connection, under a lease. The client's refresh grant and its self-refreshing session
    // are for other programs.
    (".refresh(&", &["ringcentral", "tokens"]),
    ("Session::", &["ringcentral"]),
];

/// What a function may depend on.
const FUNCTION_DEPENDENCIES: &[&str] = &["shared", "schemars", "serde", "serde_json", "tokio"];

/// Longest function, in lines.
const FUNCTION_LINES: usize = 100;

/// The RingCentral client: the layer `outside` has it under the name that `shared` re-exports it by.
const CLIENT: &str = "shared/ringcentral";
const CLIENT_CRATE: &str = "ringbridge_ringcentral";

/// Longest file, in lines.
const FILE_LINES: usize = 600;

#[test]
fn every_import_of_shared_follows_the_table() {
    let mut wrong = Vec::new();
    for (module, file, text) in shared_files() {
        let depth = depth(&file);
        wrong.extend(
            violations(&module, depth, &text).into_iter().map(|what| format!("{}: {what}", show(&file))),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_client_crate_keeps_the_rules_of_its_layer_and_does_not_know_shared() {
    let files = rust_files(&root().join(CLIENT).join("src"));
    assert!(files.len() > 20, "the sources of the client were not found");
    let mut wrong = Vec::new();
    for file in files {
        let found = client_violations(&read(&file));
        wrong.extend(found.into_iter().map(|what| format!("{}: {what}", show(&file))));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let dependencies = names_in(&manifest(&root().join(CLIENT)), "dependencies");
    let own = ["shared", "local", "simulator", "contract", "tests"];
    assert!(!dependencies.iter().any(|name| own.contains(&name.as_str())), "{dependencies:?}");
}

#[test]
fn only_the_reexports_of_shared_name_the_client_crate() {
    let reexports = ["shared/src/ringcentral.rs", "shared/src/clock.rs", "shared/src/model/secret.rs"];
    for (_, file, text) in shared_files() {
        let names_it = find_word(&code_of(&text), CLIENT_CRATE).is_some();
        assert_eq!(names_it, reexports.contains(&show(&file).as_str()), "{}", show(&file));
    }
    for folder in function_folders() {
        let dependencies = names_in(&manifest(&root().join("functions").join(&folder)), "dependencies");
        assert!(!dependencies.iter().any(|name| name.starts_with("ringbridge")), "{folder}");
    }
}

#[test]
fn a_rule_that_the_client_crate_breaks_is_found() {
    let none: [&str; 0] = [];
    assert_eq!(client_violations("use crate::error::Error;\nclient.refresh(&token); reqwest::Client"), none);
    assert_eq!(client_violations("use shared::limits;"), ["line 1: the client must not know shared"]);
    assert_eq!(
        client_violations("\nuse lambda_http::Body;"),
        ["line 2: ringcentral (adapters) must not know lambda_http"]
    );
    assert_eq!(
        client_violations("std::env::var(\"X\")"),
        ["line 1: env:: is for config alone, not for ringcentral"]
    );
}

#[test]
fn every_module_of_shared_has_its_layer_and_every_layer_its_modules() {
    let declared: BTreeSet<String> = read(&root().join("shared/src/lib.rs"))
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    let listed: BTreeSet<String> =
        LAYERS.iter().flat_map(|layer| layer.modules).map(|module| (*module).to_owned()).collect();
    assert_eq!(declared, listed);
}

#[test]
fn a_planted_wrong_arrow_is_found() {
    let of = |module: &str, text: &str| violations(module, 1, text);
    assert_eq!(
        of("vault", "use crate::gateway::Gateway;"),
        ["line 1: vault (adapters) imports gateway (context)"]
    );
    assert_eq!(
        of("store", "\nuse crate::{limits, vault};"),
        ["line 2: store (adapters) imports vault (adapters)"]
    );
    assert_eq!(
        of("connect", "fn f() { crate::http::ok() }"),
        ["line 1: connect (services) imports http (http)"]
    );
    assert_eq!(of("setup", "use super::pages;"), ["line 1: setup (services) imports pages (http)"]);
    assert_eq!(
        of("setup", "use crate::disconnect;"),
        ["line 1: setup (services) imports disconnect (services)"]
    );
    assert_eq!(of("limits", "use crate::nowhere;"), ["line 1: nowhere has no layer"]);
    assert_eq!(
        violations("store", 2, "use super::super::auth;"),
        ["line 1: store (adapters) imports auth (http)"]
    );
    assert_eq!(
        of("views", "let status = StatusCode::OK;"),
        ["line 1: views (services) must not know StatusCode"]
    );
    assert_eq!(of("auth", "std::env::var(\"X\")"), ["line 1: env:: is for config alone, not for auth"]);
    assert_eq!(
        of("setup", "client.refresh(&token)"),
        ["line 1: .refresh(& is for ringcentral, tokens alone, not for setup"]
    );
}

#[test]
fn what_is_allowed_or_no_code_is_not_found() {
    let of = |module: &str, text: &str| violations(module, 1, text);
    let none: [&str; 0] = [];
    assert_eq!(of("connect", "use crate::revocation;\nuse crate::store::{Store, Stored};"), none);
    assert_eq!(
        of("vault", "// use crate::gateway\n/// [`crate::gateway`]\n/* crate::http /* nested */ */"),
        none
    );
    assert_eq!(
        of("vault", r##"let a = "crate::http"; let b = r#"crate::"http"#; let c = '"'; crate::limits"##),
        none
    );
    assert_eq!(of("model", "fn f<'a>(a: &'a str) {} use crate::limits;"), none);
    assert_eq!(of("views", "mod tests { use super::http; }"), none, "it is a name of the module's own");
    assert_eq!(violations("outbound", 2, "use super::store::Cached;"), none, "it is outbound::store");
}

#[test]
fn functions_depend_on_shared_and_nothing_of_the_outside() {
    let mut wrong = Vec::new();
    for folder in function_folders() {
        let manifest = manifest(&root().join("functions").join(&folder));
        for table in ["dependencies", "build-dependencies"] {
            for name in names_in(&manifest, table) {
                if !FUNCTION_DEPENDENCIES.contains(&name.as_str()) {
                    wrong.push(format!("{folder} depends on {name}"));
                }
            }
        }
        for file in rust_files(&root().join("functions").join(&folder)) {
            let code = code_of(&read(&file));
            if let Some(at) = code.find("env::") {
                wrong.push(format!("{}: line {} reads the environment", show(&file), line_of(&code, at)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_function_is_a_folder_with_one_file_that_starts_its_one_handler() {
    for folder in function_folders() {
        let path = root().join("functions").join(&folder);
        let files: Vec<String> = rust_files(&path).iter().map(|file| show(file)).collect();
        for file in &files {
            let name = file.strip_prefix(&format!("functions/{folder}/src/"));
            assert!(matches!(name, Some("main.rs" | "route.rs")), "{file}");
        }
        let manifest = manifest(&path);
        assert!(
            manifest.contains(&format!("name = \"{folder}\"")),
            "the package of {folder} is named otherwise"
        );
        assert!(folder.contains('-') || folder == "sweep", "{folder} is no verb-noun");
        let main = read(&path.join("src/main.rs"));
        let start = main.split_once("fn main() -> run::ProcessResult {\n    run::").map(|(_, rest)| rest);
        let start = start.and_then(|rest| rest.split_once("handle)\n}\n"));
        assert!(
            start.is_some_and(|(runner, _)| runner.len() < 70),
            "main of {folder} does not run its handler"
        );
        let handlers = main.matches("\nasync fn handle(").count();
        assert_eq!(handlers, 1, "{folder} has not one handler");
        assert!(main.lines().count() <= FUNCTION_LINES, "{folder} does not fit on a screen or two");
        let targets = manifest.matches("[lib]").count() + manifest.matches("path =").count();
        assert_eq!(targets, 0, "the package of {folder} has more than one binary");
    }
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    for path in packages() {
        let manifest = manifest(&path);
        let lints = manifest
            .split("[lints]")
            .nth(1)
            .is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
        assert!(lints, "{} has no [lints] workspace = true", show(&path));
        for key in ["edition", "rust-version", "license", "version"] {
            assert!(manifest.contains(&format!("{key}.workspace = true")), "{}: {key}", show(&path));
        }
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> = ["functions", "shared", "infra", "tests"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .map(|file| (read(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > FILE_LINES)
        .map(|(lines, file)| format!("{}: {lines} lines", show(&file)))
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

#[test]
fn the_architecture_page_has_the_layers_and_functions() {
    let map = read(&root().join("shared/ARCHITECTURE.md"));
    assert!(map.contains(&format!("It is {} Lambda functions", function_folders().len())));
    for layer in LAYERS {
        let row = map.lines().find(|line| line.starts_with(&format!("| {} |", layer.name)));
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for the layer {}", layer.name));
        let modules: Vec<&str> = row.split('|').nth(2).unwrap().split('`').skip(1).step_by(2).collect();
        assert_eq!(modules, layer.modules, "ARCHITECTURE.md, layer {}", layer.name);
    }
    for folder in function_folders() {
        assert!(map.contains(&format!("`{folder}`")), "ARCHITECTURE.md does not name the function {folder}");
    }
}

/// What is wrong with a file of a module; `depth` is how many `super` lead to the crate.
fn violations(module: &str, depth: usize, text: &str) -> Vec<String> {
    let code = code_of(text);
    let Some(layer) = layer_of(module) else { return vec![format!("{module} has no layer")] };
    let mut wrong = Vec::new();
    for (at, imported) in imports(&code, depth, |name| layer_of(name).is_some()) {
        let line = line_of(&code, at);
        let Some(other) = layer_of(&imported) else {
            wrong.push(format!("line {line}: {imported} has no layer"));
            continue;
        };
        let allowed = imported == module
            || layer.may_import.contains(&other.name)
            || ARROWS.contains(&(module, imported.as_str()));
        if !allowed {
            wrong.push(format!("line {line}: {module} ({}) imports {imported} ({})", layer.name, other.name));
        }
    }
    wrong.extend(forbidden_words(module, layer, &code));
    wrong
}

/// What is wrong with a file of the client: what `crate` means there are its own modules.
fn client_violations(text: &str) -> Vec<String> {
    let code = code_of(text);
    let layer = layer_of("ringcentral").expect("the client has a layer");
    let mut wrong = forbidden_words("ringcentral", layer, &code);
    if let Some(at) = find_word(&code, "shared::") {
        wrong.push(format!("line {}: the client must not know shared", line_of(&code, at)));
    }
    wrong
}

/// The words in a module's code that its layer must not know, or that only others own.
fn forbidden_words(module: &str, layer: &Layer, code: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for word in layer.must_not_know {
        if let Some(at) = find_word(code, word) {
            wrong.push(format!("line {}: {module} ({}) must not know {word}", line_of(code, at), layer.name));
        }
    }
    for (word, owners) in OWNERS {
        let forbidden =
            !owners.contains(&module) && !layer.must_not_know.iter().any(|known| word.starts_with(known));
        if let Some(at) = find_word(code, word).filter(|_| forbidden) {
            let owners = owners.join(", ");
            wrong.push(format!("line {}: {word} is for {owners} alone, not for {module}", line_of(code, at)));
        }
    }
    wrong
}

fn layer_of(module: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.modules.contains(&module))
}

/// Every file of `shared`, with the crate's module that it belongs to.
fn shared_files() -> Vec<(String, PathBuf, String)> {
    let source = root().join("shared/src");
    let mut files = Vec::new();
    for file in rust_files(&source) {
        let first = file.strip_prefix(&source).unwrap().components().next().unwrap();
        let module = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        if module != "lib" {
            let text = read(&file);
            files.push((module, file, text));
        }
    }
    assert!(files.len() > 20, "the sources of shared were not found");
    files
}

/// How many `super` lead from a file to the crate.
fn depth(file: &Path) -> usize {
    let inside = file.strip_prefix(root().join("shared/src")).unwrap();
    let parts = inside.components().count();
    if inside.ends_with("mod.rs") { parts - 1 } else { parts }
}

/// The folders of the functions.
pub fn function_folders() -> Vec<String> {
    let mut folders: Vec<String> = fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    folders
}

/// The members of the workspace.
fn packages() -> Vec<PathBuf> {
    let manifest = manifest(&root());
    let members =
        manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("members on one line");
    // A list of texts is the same in TOML and JSON.
    let members: Vec<String> = serde_json::from_str(members).expect("a list of members");
    let folders = |member: String| match member.strip_suffix("/*") {
        Some("functions") => function_folders().iter().map(|folder| format!("functions/{folder}")).collect(),
        _ => vec![member],
    };
    members.into_iter().flat_map(folders).map(|folder| root().join(folder)).collect()
}

fn manifest(package: &Path) -> String {
    read(&package.join("Cargo.toml"))
}

/// The names in a table of a manifest.
fn names_in(manifest: &str, table: &str) -> Vec<String> {
    let rows = manifest.lines().skip_while(|line| line.trim() != format!("[{table}]")).skip(1);
    let rows = rows.take_while(|line| !line.trim_start().starts_with('['));
    rows.filter_map(|row| row.split(['=', '.']).next())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file's text.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn show(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
