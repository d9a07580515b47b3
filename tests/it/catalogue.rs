//! The catalogue of errors: the page in the documentation, and the routes of the template.

use std::collections::BTreeSet;

use serde_yaml_ng::Value;
use shared::http::catalogue;

use crate::world::root;

#[test]
fn the_page_of_errors_is_the_catalogue() {
    let page = root().join("docs/errors.md");
    let catalogue = catalogue::as_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &catalogue).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(written == catalogue, "docs/errors.md is not what the code says: run with UPDATE_DOCS=1");
}

#[test]
fn every_route_of_the_template_is_in_the_catalogue() {
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let template: Value = serde_yaml_ng::from_str(&template).unwrap();
    let mut deployed = BTreeSet::new();
    for (_, resource) in template["Resources"].as_mapping().unwrap() {
        let Some(events) = resource["Properties"]["Events"].as_mapping() else { continue };
        for (_, event) in events.iter().filter(|(_, event)| event["Type"] == "HttpApi") {
            let text = |name: &str| event["Properties"][name].as_str().unwrap().to_owned();
            deployed.insert(format!("{} {}", text("Method"), text("Path")));
        }
    }
    let listed: BTreeSet<_> =
        shared::http::routes::all().into_iter().map(|(route, ..)| route.to_owned()).collect();
    assert_eq!(listed, deployed);
}
