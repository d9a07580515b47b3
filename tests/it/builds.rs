//! What a build without named packages makes: the functions of the template, and no other program.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::house::{self, root};
use crate::template;

/// Package ids, with the names of their programs, as Cargo sees the workspace.
fn metadata() -> Value {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn programs(metadata: &Value, is_built: impl Fn(&Value) -> bool) -> BTreeSet<&str> {
    let packages = metadata["packages"].as_array().unwrap().iter().filter(|package| is_built(package));
    let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    let binaries =
        targets.filter(|target| target["kind"].as_array().unwrap().iter().any(|kind| kind == "bin"));
    binaries.map(|target| target["name"].as_str().unwrap()).collect()
}

#[test]
fn a_build_makes_the_functions_of_the_template_and_no_other_program() {
    let metadata = metadata();
    let default = metadata["workspace_default_members"].as_array().unwrap();
    let built = programs(&metadata, |package| default.contains(&package["id"]));
    let template = template::template();
    let functions = template::resources(&template, "AWS::Serverless::Function");
    let code = functions.iter().map(|(_, function)| function["Properties"]["CodeUri"].as_str().unwrap());
    let deployed: BTreeSet<&str> = code.map(|uri| uri.strip_prefix("target/lambda/").unwrap()).collect();
    assert_eq!(built, deployed);
    let all = programs(&metadata, |_| true);
    assert!(all.contains("ringbridge") && !built.contains("ringbridge"));
    // A release names its packages.
    let package = house::read(&root().join("infra/deploy/package"));
    assert!(
        package.contains("for function in functions/*/") && package.contains("--bins \"${packages[@]}\"")
    );
}

#[test]
fn the_functions_do_not_have_the_dependencies_of_the_command_line() {
    let arguments = [
        "tree",
        "--offline",
        "--locked",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--package",
        "send-sms",
    ];
    let tree = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.lines().any(|line| line.starts_with("shared ")), "{tree}");
    for name in ["clap", "clap_complete", "csv", "rpassword", "toml", "standardwebhooks"] {
        let is_dependency = tree.lines().any(|line| line.split_whitespace().next() == Some(name));
        assert!(!is_dependency, "send-sms depends on {name}");
    }
}
