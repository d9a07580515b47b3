//! `cargo lambda watch` beside the stack: its routes and events are those of the template.

use local::template::{Overrides, Template};
use local::watch;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn deployed() -> Template {
    Template::read(&workspace().join("template.yaml"), &Overrides::default()).unwrap()
}

#[test]
fn the_routes_of_cargo_lambda_watch_are_those_of_the_template() {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(workspace())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let wanted = deployed();
    assert_eq!(
        watch::router_routes(&metadata["metadata"]),
        watch::template_routes(&wanted),
        "[workspace.metadata.lambda.watch.router] in Cargo.toml should be what `cargo local router` prints:\n{}\n",
        watch::router_lines(&wanted).join("\n")
    );
}

#[test]
fn every_function_of_a_schedule_queue_or_stream_has_its_event_for_cargo_lambda_invoke() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut expected = BTreeSet::new();
    for function in &deployed().functions {
        let file = folder.join(format!("{}.json", function.binary));
        let event = || -> Value { serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap() };
        // One file for a function, also if several schedules start it: what one of them says.
        if !function.schedules.is_empty() {
            expected.insert(format!("{}.json", function.binary));
            let is_said =
                function.schedules.iter().any(|trigger| match trigger.properties["Input"].as_str() {
                    Some(input) => event() == serde_json::from_str::<Value>(input).unwrap(),
                    None => event()["detail-type"] == "Scheduled Event",
                });
            assert!(is_said, "{file:?}");
        }
        // One file for a function, also if it reads several queues: their records have one shape.
        if !function.queues.is_empty() {
            expected.insert(format!("{}.json", function.binary));
            assert_eq!(event()["Records"][0]["eventSource"], "aws:sqs", "{file:?}");
            let source = event()["Records"][0]["eventSourceARN"].clone();
            assert!(
                function.queues.iter().any(|trigger| source == trigger.queue_arn.as_str()),
                "{file:?}: {source}"
            );
        }
        for trigger in &function.streams {
            expected.insert(format!("{}.json", function.binary));
            assert_eq!(event()["Records"][0]["eventSource"], "aws:dynamodb", "{file:?}");
            assert_eq!(event()["Records"][0]["eventSourceARN"], trigger.stream_arn.as_str(), "{file:?}");
        }
    }
    let there: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, expected);
}
