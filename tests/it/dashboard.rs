//! `infra/dashboard.yaml`: its widgets do not overlap, its queries ask for lines that the functions write, and the deployment guide
//! shows it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::house::{read, root};
use crate::template::resources;

fn template() -> serde_yaml_ng::Value {
    serde_yaml_ng::from_str(&read(&root().join("infra/dashboard.yaml"))).unwrap()
}

/// The widgets, with the names of resources in place.
fn widgets() -> Vec<Value> {
    let template = template();
    let (_, dashboard) = resources(&template, "AWS::CloudWatch::Dashboard")[0];
    let body = dashboard["Properties"]["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    body["widgets"].as_array().unwrap().clone()
}

fn queries() -> Vec<String> {
    let widgets = widgets();
    let of_widgets = widgets.iter().filter_map(|widget| widget["properties"]["query"].as_str());
    let template = template();
    let saved = resources(&template, "AWS::Logs::QueryDefinition");
    assert!(saved.len() >= 4);
    let saved = saved.iter().map(|(_, query)| query["Properties"]["QueryString"].as_str().unwrap());
    of_widgets.chain(saved).map(str::to_owned).collect()
}

#[test]
fn widgets_do_not_overlap_and_the_guide_lists_them() {
    let guide = read(&root().join("docs/deploying.md"));
    let mut covered = BTreeSet::new();
    for widget in widgets() {
        let number = |name: &str| widget[name].as_u64().unwrap();
        let title = widget["properties"]["title"].as_str().unwrap();
        for x in number("x")..number("x") + number("width") {
            for y in number("y")..number("y") + number("height") {
                assert!(x < 24 && covered.insert((x, y)), "{title} overlaps at {x}, {y}");
            }
        }
        assert!(guide.contains(title), "docs/deploying.md does not show: {title}");
    }
    assert!(widgets()[0]["properties"]["title"].as_str().unwrap().starts_with("Messages"), "the main job");
}

/// The texts that a query compares the message of a line with.
fn compared_messages(query: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for start in ["message in [", "message = \"", "strcontains(message, \""] {
        for rest in query.split(start).skip(1) {
            let end = if start.ends_with('[') { ']' } else { '"' };
            let list = rest.split(end).next().unwrap();
            let list = list.split(',').map(|text| text.trim().trim_matches('"').to_owned());
            messages.extend(list.filter(|text| !text.is_empty()));
        }
    }
    messages
}

#[test]
fn queries_ask_for_messages_that_the_functions_log() {
    let mut sources = String::new();
    collect(&root().join("shared/src"), &mut sources);
    let mut compared = 0;
    for query in queries() {
        for message in compared_messages(&query) {
            assert!(sources.contains(&format!("\"{message}\"")), "no function logs: {message}");
            compared += 1;
        }
    }
    assert!(compared >= 12, "{compared} messages");
}

fn collect(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else {
            sources.push_str(&read(&path));
        }
    }
}
