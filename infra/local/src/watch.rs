//! What `cargo lambda watch` needs beside `cargo local --aws-only --sim-only`: the functions' environment and their routes.

use crate::names;
use crate::options::StackOptions;
use crate::stack_info::StackInfo;
use crate::template::{ApiRoute, FunctionResource, Template};
use anyhow::Result;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The variables of all functions together, with the URLs of a running stack.
pub fn environment(info: &StackInfo, options: &StackOptions) -> Result<BTreeMap<String, String>> {
    let functions_url = options.functions_url(info.gateway.as_deref());
    let overrides = options.overrides(&info.rc, info.aws(), &functions_url, info.ringcentral());
    let template = Template::read(&options.template, &overrides)?;
    let mut variables = BTreeMap::new();
    for function in &template.functions {
        variables.extend(function.environment.clone());
    }
    // These credentials belong to no function, because cargo-lambda gives all functions the same ones.
    for (name, value) in [
        ("AWS_ENDPOINT_URL", info.aws()),
        ("AWS_REGION", names::REGION),
        ("AWS_ACCESS_KEY_ID", names::ADMINISTRATOR_ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", names::SECRET_ACCESS_KEY),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    Ok(variables)
}

/// The routes of the template as `path method function`, comparable to [`router_routes`].
#[must_use]
pub fn template_routes(template: &Template) -> BTreeSet<String> {
    let routes = template.functions.iter().flat_map(|function| {
        routable(function).map(|route| format!("{} {} {}", route.path, route.method, function.binary))
    });
    routes.collect()
}

/// The routes of a function that the router of `cargo lambda watch` can have: not the default one.
fn routable(function: &FunctionResource) -> impl Iterator<Item = &ApiRoute> {
    function.routes.iter().filter(|route| route.path != "$default")
}

/// The routes of the template as lines of `[workspace.metadata.lambda.watch.router]`.
#[must_use]
pub fn router_lines(template: &Template) -> Vec<String> {
    let mut targets: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for function in &template.functions {
        for route in routable(function) {
            let target = format!("{{ method = \"{}\", function = \"{}\" }}", route.method, function.binary);
            targets.entry(&route.path).or_default().push(target);
        }
    }
    targets.iter().map(|(path, targets)| format!("\"{path}\" = [{}]", targets.join(", "))).collect()
}

/// The routes in the workspace's metadata, as `cargo metadata` prints it.
#[must_use]
pub fn router_routes(metadata: &Value) -> BTreeSet<String> {
    let router = metadata["lambda"]["watch"]["router"].as_object().into_iter().flatten();
    router
        .flat_map(|(path, targets)| {
            targets.as_array().into_iter().flatten().map(move |target| {
                let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
                format!("{path} {} {}", text("method"), text("function"))
            })
        })
        .collect()
}
