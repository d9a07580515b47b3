//! API Gateway's payload format 2.0: from an HTTP request to an event, and from a function's payload to an HTTP response.

use crate::names;
use crate::routes::RouteMatch;
use crate::server::{self, HttpRequest, HttpResponse};
use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use hyper::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Headers that apply to one connection only.
const HOP_HEADERS: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

#[must_use]
pub fn request_event(request: &HttpRequest, route: &RouteMatch, request_id: &str, now: Timestamp) -> Value {
    let path = request.uri.path();
    let query = request.uri.query().unwrap_or_default();
    let (mut headers, cookies) = headers(&request.headers);
    let host = request.header("host").unwrap_or("localhost").to_owned();
    let source = request.peer.ip().to_string();
    let forwarded = match headers.get("x-forwarded-for").and_then(Value::as_str) {
        Some(earlier) => format!("{earlier}, {source}"),
        None => source.clone(),
    };
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port).to_owned();
    let trace = format!("Root=1-{:08x}-{}", now.as_second(), &request_id.replace('-', "")[..24]);
    for (name, value) in [
        ("x-forwarded-for", forwarded),
        ("x-forwarded-port", port),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-amzn-trace-id", trace),
        ("content-length", request.body.len().to_string()),
    ] {
        headers.insert(name.to_owned(), Value::String(value));
    }
    let domain = host.split(':').next().unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": route.route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": names::ACCOUNT,
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": domain.split('.').next().unwrap_or_default(),
            "http": {
                "method": request.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source,
                "userAgent": request.header("user-agent").unwrap_or_default(),
            },
            "requestId": request_id,
            "routeKey": route.route_key,
            "stage": "$default",
            "time": now.to_zoned(TimeZone::UTC).strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(joined_query(query));
    }
    if !route.parameters.is_empty() {
        event["pathParameters"] = json!(route.parameters);
    }
    if !request.body.is_empty() {
        match std::str::from_utf8(&request.body).ok().filter(|_| is_text(request.header("content-type"))) {
            Some(text) => event["body"] = json!(text),
            None => {
                event["body"] = json!(BASE64.encode(&request.body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

/// Header names in lower case with repeated values joined by commas, and the cookies as a list.
fn headers(headers: &HeaderMap) -> (Map<String, Value>, Vec<String>) {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    let mut cookies = Vec::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if name == "cookie" {
            cookies.extend(
                value.split(';').map(|cookie| cookie.trim().to_owned()).filter(|cookie| !cookie.is_empty()),
            );
        } else if !HOP_HEADERS.contains(&name.as_str()) && name != "transfer-encoding" {
            joined
                .entry(name.as_str().to_owned())
                .and_modify(|earlier| {
                    earlier.push(',');
                    earlier.push_str(&value);
                })
                .or_insert_with(|| value.into_owned());
        }
    }
    (joined.into_iter().map(|(name, value)| (name, Value::String(value))).collect(), cookies)
}

/// Values of a repeated parameter are joined by commas.
fn joined_query(query: &str) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        joined
            .entry(name.into_owned())
            .and_modify(|earlier| {
                earlier.push(',');
                earlier.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    joined
}

/// Whether API Gateway passes a body on as text. Everything else is base64, including forms and bodies without a type.
fn is_text(content_type: Option<&str>) -> bool {
    let media =
        content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&media.as_str())
}

/// The response for a function's payload, or `None` if API Gateway does not accept the payload.
#[must_use]
pub fn http_response(payload: &[u8]) -> Option<HttpResponse> {
    let payload: Value = serde_json::from_slice(payload).ok()?;
    let Some(code) = payload.get("statusCode") else {
        // Without a status code, the whole payload is the body.
        let text = payload.as_str().map_or_else(|| payload.to_string(), str::to_owned);
        return Some(server::with_body(StatusCode::OK, "application/json", text));
    };
    let code = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    let status = StatusCode::from_u16(u16::try_from(code).ok()?).ok()?;
    let text = match payload.get("body") {
        None | Some(Value::Null) => "",
        Some(body) => body.as_str()?,
    };
    let body = if payload["isBase64Encoded"] == true {
        Bytes::from(BASE64.decode(text.as_bytes()).ok()?)
    } else {
        Bytes::from(text.to_owned())
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    for (name, value) in payload["headers"].as_object().into_iter().flatten() {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        if HOP_HEADERS.contains(&name.as_str()) || name == "transfer-encoding" || name == "content-length" {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        response.headers_mut().append(name, HeaderValue::try_from(value).ok()?);
    }
    for cookie in payload["cookies"].as_array().into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
    }
    Some(response)
}

/// A response that API Gateway itself produces.
#[must_use]
pub fn gateway_message(status: StatusCode, message: &str) -> HttpResponse {
    let mut response = server::json(status, &json!({ "message": message }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::{http_response, is_text, request_event};
    use crate::routes::RouteMatch;
    use crate::server::HttpRequest;
    use bytes::Bytes;
    use hyper::{HeaderMap, Method};
    use std::collections::BTreeMap;

    fn event(uri: &str, headers: &[(&'static str, &str)], body: &'static str) -> serde_json::Value {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let request = HttpRequest {
            method: Method::POST,
            uri: uri.parse().unwrap(),
            headers: map,
            body: Bytes::from_static(body.as_bytes()),
            peer: "127.0.0.1:5000".parse().unwrap(),
        };
        let route = RouteMatch {
            function: "f".to_owned(),
            route_key: "POST /a/{id}".to_owned(),
            parameters: BTreeMap::from([("id".to_owned(), "7".to_owned())]),
        };
        request_event(
            &request,
            &route,
            "0e984725-c51c-4bf4-9960-e1c80e27aba0",
            "2026-03-12T19:03:58Z".parse().unwrap(),
        )
    }

    #[test]
    fn an_event_has_the_payload_format_2() {
        let event = event(
            "/a/7?x=1&y=%20&x=2",
            &[("Host", "127.0.0.1:9400"), ("Cookie", "a=1; b=2"), ("X-Many", "1"), ("X-Many", "2")],
            "",
        );
        assert_eq!(event["cookies"], serde_json::json!(["a=1", "b=2"]));
        assert_eq!(event["headers"]["x-many"], "1,2");
        assert!(event["headers"].get("cookie").is_none());
        assert_eq!(event["queryStringParameters"]["x"], "1,2");
        assert_eq!(event["queryStringParameters"]["y"], " ");
        assert_eq!(event["pathParameters"]["id"], "7");
        assert_eq!(event["requestContext"]["time"], "12/Mar/2026:19:03:58 +0000");
        assert_eq!(event["requestContext"]["stage"], "$default");
        assert!(event.get("body").is_none());
    }

    #[test]
    fn forms_and_bodies_without_a_type_are_base64() {
        let form = event("/a/7", &[("content-type", "application/x-www-form-urlencoded")], "a=b");
        assert_eq!((form["body"].as_str(), form["isBase64Encoded"].as_bool()), (Some("YT1i"), Some(true)));
        assert_eq!(event("/a/7", &[], "a=b")["isBase64Encoded"], true);
        let json = event("/a/7", &[("content-type", "application/json; charset=utf-8")], "{}");
        assert_eq!((json["body"].as_str(), json["isBase64Encoded"].as_bool()), (Some("{}"), Some(false)));
        assert!(!is_text(Some("application/problem+json")));
    }

    #[test]
    fn a_payload_becomes_a_response() {
        let payload = br#"{"statusCode":303,"headers":{"location":"/x"},"cookies":["a=1; Secure","b=2"],"body":"aGk=","isBase64Encoded":true}"#;
        let response = http_response(payload).unwrap();
        assert_eq!(response.status(), 303);
        assert_eq!(response.headers()["location"], "/x");
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn a_payload_that_is_not_a_response_is_rejected() {
        assert!(http_response(b"not json").is_none());
        assert!(http_response(br#"{"statusCode":"abc"}"#).is_none());
        assert_eq!(http_response(br#"{"hello":1}"#).unwrap().status(), 200);
    }
}
