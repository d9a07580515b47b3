//! The response to a request that matches no route: its path may exist with another method, or be a misspelled one.

use std::collections::BTreeMap;

use crate::error::Error;

/// The methods of each path, in the form of `template.yaml`: `/v1/apps/{appId}`.
pub type RoutesByPath = BTreeMap<String, Vec<String>>;

/// The error for a request to a path that no route has, or not with its method. It repeats no part of the path.
pub fn rejection(routes: &RoutesByPath, path: &str, docs: &str) -> Error {
    let exact = routes.get_key_value(path).filter(|(route, _)| !route.contains('{'));
    let matching: Vec<_> = match exact {
        // `/v1/apps/register` is not an app.
        Some(exact) => vec![exact],
        None => routes.iter().filter(|(route, _)| matches(route, path)).collect(),
    };
    let mut allowed: Vec<&str> =
        matching.into_iter().flat_map(|(_, methods)| methods).map(String::as_str).collect();
    if !allowed.is_empty() {
        allowed.sort_unstable();
        allowed.dedup();
        return Error::MethodNotAllowed { allow: allowed.join(", ") };
    }
    let similar =
        corrected(path).into_iter().find_map(|path| routes.keys().find(|route| matches(route, &path)));
    let hint = similar.map(|route| format!(" Did you mean {route}?")).unwrap_or_default();
    Error::UnknownRoute { text: format!("Not found: no route has this path.{hint} See {docs}") }
}

/// True if a path matches a route, whose segments in braces match any segment.
fn matches(route: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let all = route.split('/').all(|part| match segments.next() {
        Some(segment) if part.starts_with('{') => !segment.is_empty(),
        segment => segment == Some(part),
    });
    all && segments.next().is_none()
}

/// A path without empty segments and trailing slash, in lower case where it matters, with the version `v1`.
fn corrected(path: &str) -> Vec<String> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).take(SEGMENTS).collect();
    let is_version = |segment: &str| {
        segment
            .strip_prefix(['v', 'V'])
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    let rest: Vec<&str> = segments
        .iter()
        .skip_while(|segment| segment.eq_ignore_ascii_case("api") || is_version(segment))
        .copied()
        .collect();
    let joined = |segments: &[&str]| format!("/{}", segments.join("/"));
    let versioned = joined(&[&["v1"], rest.as_slice()].concat());
    let mut paths = vec![joined(&segments), versioned.clone()];
    paths.extend([joined(&segments).to_ascii_lowercase(), versioned.to_ascii_lowercase()]);
    paths
}

/// Segments of a path that are compared; no route has as many.
const SEGMENTS: usize = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::catalogue;

    fn routes() -> RoutesByPath {
        let route = |path: &str, methods: &[&str]| {
            (path.to_owned(), methods.iter().map(|m| (*m).to_owned()).collect())
        };
        [
            route("/health", &["GET"]),
            route("/v1/apps", &["GET"]),
            route("/v1/apps/register", &["POST"]),
            route("/v1/apps/{appId}", &["PUT", "GET", "DELETE"]),
            route("/v1/sms/send", &["POST"]),
        ]
        .into()
    }

    const DOCS: &str = "https://sms.example.com/docs";

    #[test]
    fn a_known_path_allows_its_methods() {
        for (path, methods) in [
            ("/v1/apps", "GET"),
            ("/v1/apps/app_0", "DELETE, GET, PUT"),
            ("/v1/apps/register", "POST"),
            ("/health", "GET"),
        ] {
            let Error::MethodNotAllowed { allow } = rejection(&routes(), path, DOCS) else {
                panic!("{path}")
            };
            assert_eq!(allow, methods, "{path}");
        }
    }

    #[test]
    fn an_unknown_path_gets_a_hint_and_the_reference() {
        for (path, hint) in [
            ("/v1/apps/", "/v1/apps"),
            ("//v1//apps", "/v1/apps"),
            ("/v1/sms/send/", "/v1/sms/send"),
            ("/v2/sms/send", "/v1/sms/send"),
            ("/v1.1/sms/send", "/v1/sms/send"),
            ("/sms/send", "/v1/sms/send"),
            ("/api/v1/sms/send", "/v1/sms/send"),
            ("/V1/SMS/Send", "/v1/sms/send"),
            ("/v1/apps/app_0/", "/v1/apps/{appId}"),
            ("/v1/health", ""),
            ("/", ""),
            ("", ""),
            ("/robots.txt", ""),
            ("/v1/apps/app_0/nothing", ""),
        ] {
            let error = rejection(&routes(), path, DOCS);
            let entry = catalogue::entry(&error);
            assert_eq!((entry.status.as_u16(), entry.code), (404, "not_found"), "{path}");
            assert!(entry.text.ends_with(DOCS), "{}", entry.text);
            assert_eq!(entry.text.contains("Did you mean"), !hint.is_empty(), "{path}: {}", entry.text);
            assert!(entry.text.contains(hint), "{path}: {}", entry.text);
        }
    }

    proptest! {
        #[test]
        fn every_path_has_a_response(path in "(/[a-zA-Z0-9.{}]{0,8}){0,20}|\\PC{0,40}") {
            match rejection(&routes(), &path, DOCS) {
                Error::UnknownRoute { text } => prop_assert!(text.starts_with("Not found")),
                Error::MethodNotAllowed { allow } => prop_assert!(!allow.is_empty()),
                other => prop_assert!(false, "{other}"),
            }
        }
    }
}
