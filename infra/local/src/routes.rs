//! The routes of the HTTP API. A request is matched to a function as API Gateway does it.

use crate::template::Template;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct RouteTable {
    routes: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    method: String,
    path: String,
    function: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteMatch {
    /// The function's folder name.
    pub function: String,
    /// `POST /v1/x/{id}`, or `$default`.
    pub route_key: String,
    /// Decoded path parameters.
    pub parameters: BTreeMap<String, String>,
}

impl RouteTable {
    #[must_use]
    pub fn new(template: &Template) -> Self {
        let routes = template.functions.iter().flat_map(|function| {
            function.routes.iter().map(|route| Entry {
                method: route.method.clone(),
                path: route.path.clone(),
                function: function.binary.clone(),
            })
        });
        Self { routes: routes.collect() }
    }

    /// The most specific route: literal segments win over parameters, parameters over greedy ones, a method over `ANY`.
    #[must_use]
    pub fn find(&self, method: &str, path: &str) -> Option<RouteMatch> {
        let mut best: Option<(Vec<u8>, &Entry, BTreeMap<String, String>)> = None;
        for entry in &self.routes {
            if entry.method != method && entry.method != "ANY" {
                continue;
            }
            let Some((mut rank, parameters)) = match_pattern(&entry.path, path) else { continue };
            rank.push(u8::from(entry.method == "ANY"));
            if best.as_ref().is_none_or(|(other, ..)| rank < *other) {
                best = Some((rank, entry, parameters));
            }
        }
        let (_, entry, parameters) = best?;
        let route_key = if entry.path == "$default" {
            entry.path.clone()
        } else {
            format!("{} {}", entry.method, entry.path)
        };
        Some(RouteMatch { function: entry.function.clone(), route_key, parameters })
    }
}

/// The rank of a pattern that matches (compared segment by segment, smaller wins), and the path parameters.
fn match_pattern(pattern: &str, path: &str) -> Option<(Vec<u8>, BTreeMap<String, String>)> {
    let mut parameters = BTreeMap::new();
    if pattern == "$default" {
        return Some((vec![3], parameters));
    }
    let mut rank = Vec::new();
    let mut segments = path.split('/');
    let mut patterns = pattern.split('/').peekable();
    while let Some(part) = patterns.next() {
        match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if name.ends_with('+') => {
                let rest: Vec<&str> = segments.by_ref().collect();
                if rest.is_empty() || rest == [""] || patterns.peek().is_some() {
                    return None;
                }
                parameters.insert(name.trim_end_matches('+').to_owned(), decode(&rest.join("/")));
                rank.push(2);
            }
            Some(name) => {
                let value = segments.next().filter(|value| !value.is_empty())?;
                parameters.insert(name.to_owned(), decode(value));
                rank.push(1);
            }
            None => {
                if segments.next()? != part {
                    return None;
                }
                rank.push(0);
            }
        }
    }
    segments.next().is_none().then_some((rank, parameters))
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Entry, RouteTable};

    fn routes(list: &[(&str, &str, &str)]) -> RouteTable {
        let entry = |(method, path, function): &(&str, &str, &str)| Entry {
            method: (*method).to_owned(),
            path: (*path).to_owned(),
            function: (*function).to_owned(),
        };
        RouteTable { routes: list.iter().map(entry).collect() }
    }

    #[test]
    fn a_literal_route_wins_over_a_parameter_and_a_method_over_any() {
        let routes = routes(&[
            ("GET", "/v1/x/{id}", "parameter"),
            ("GET", "/v1/x/list", "literal"),
            ("ANY", "/v1/x/list", "any"),
            ("ANY", "/v1/{rest+}", "greedy"),
        ]);
        let found = |method, path| routes.find(method, path).map(|found| found.function);
        assert_eq!(found("GET", "/v1/x/list").as_deref(), Some("literal"));
        assert_eq!(found("GET", "/v1/x/7").as_deref(), Some("parameter"));
        assert_eq!(found("POST", "/v1/x/list").as_deref(), Some("any"));
        assert_eq!(found("GET", "/v1/a/b/c").as_deref(), Some("greedy"));
        assert_eq!(found("GET", "/v1/x/7/").as_deref(), Some("greedy"));
        assert_eq!(found("GET", "/v2"), None);
    }

    #[test]
    fn parameters_are_decoded() {
        let found =
            routes(&[("GET", "/n/{number}/m/{rest+}", "f")]).find("GET", "/n/%2B1555/m/a%20b/c").unwrap();
        assert_eq!(found.parameters["number"], "+1555");
        assert_eq!(found.parameters["rest"], "a b/c");
        assert_eq!(found.route_key, "GET /n/{number}/m/{rest+}");
    }

    #[test]
    fn a_get_route_does_not_match_head() {
        assert_eq!(routes(&[("GET", "/a", "f")]).find("HEAD", "/a"), None);
    }
}
