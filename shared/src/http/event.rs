//! The event of API Gateway (payload format 2.0) as a request, and a response as its payload.
//!
//! `lambda_http` would build a URI from host, path and query, and panics if the URI or the base64 of the body is invalid.
//! API Gateway may decode a query before it passes it on, so a space is enough. No handler needs the URI, and none is built.

use data_encoding::BASE64;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::header::{COOKIE, SET_COOKIE};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Context, Request, RequestExt, Response};
use serde_json::value::RawValue;

use super::HeaderValue;
use crate::error::{Error, Result};

/// The request of an event. One that can't be read is an empty request, with the error.
pub fn request(event: &RawValue, context: Context) -> (Request, Result<()>) {
    let (request, outcome) = match read(event) {
        Ok(request) => (request, Ok(())),
        Err(error) => (Request::new(Body::Empty), Err(error)),
    };
    (request.with_lambda_context(context), outcome)
}

fn read(event: &RawValue) -> Result<Request> {
    let unreadable = || Error::InvalidBody { text: "The request could not be read".to_owned(), field: None };
    let event: ApiGatewayV2httpRequest = serde_json::from_str(event.get()).map_err(|_| unreadable())?;
    let body = match event.body {
        None => Body::Empty,
        Some(text) if event.is_base64_encoded => {
            Body::Binary(BASE64.decode(text.as_bytes()).map_err(|_| unreadable())?)
        }
        Some(text) => Body::Text(text),
    };
    // The map of the event joins repeated parameters by commas; the raw query has them as they were sent.
    let query = match event.raw_query_string {
        Some(query) => query.parse::<QueryMap>().unwrap_or_default(),
        None => event.query_string_parameters,
    };
    let mut request = Request::new(body);
    *request.method_mut() = event.request_context.http.method.clone();
    *request.headers_mut() = event.headers;
    let cookies = event.cookies.unwrap_or_default().join("; ");
    if let Ok(cookies) = HeaderValue::from_str(&cookies)
        && !cookies.is_empty()
    {
        request.headers_mut().insert(COOKIE, cookies);
    }
    Ok(request
        .with_raw_http_path(event.raw_path.unwrap_or_default())
        .with_query_string_parameters(query)
        .with_path_parameters(event.path_parameters)
        .with_request_context(RequestContext::ApiGatewayV2(event.request_context)))
}

/// A response in the form that API Gateway expects, with its cookies apart from the other headers.
pub fn payload(response: Response<Body>) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let cookies = parts.headers.get_all(SET_COOKIE).iter();
    let mut payload = ApiGatewayV2httpResponse::default();
    payload.cookies = cookies.filter_map(|cookie| cookie.to_str().ok().map(str::to_owned)).collect();
    payload.status_code = i64::from(parts.status.as_u16());
    payload.headers = parts.headers;
    payload.headers.remove(SET_COOKIE);
    payload.is_base64_encoded = matches!(body, Body::Binary(_));
    payload.body = Some(body).filter(|body| !matches!(body, Body::Empty));
    payload
}

#[cfg(test)]
mod tests {
    use lambda_http::http::StatusCode;
    use proptest::prelude::*;
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::{payload, *};

    fn request(event: &Value, context: Context) -> (Request, Result<()>) {
        super::request(&to_raw_value(event).unwrap(), context)
    }

    fn event(change: &Value) -> Value {
        let mut event = json!({
            "version": "2.0", "routeKey": "GET /v1/rc/callback", "rawPath": "/v1/rc/callback", "rawQueryString": "",
            "headers": { "host": "sms.example.com" },
            "requestContext": { "requestId": "id-1", "stage": "$default", "http": {
                "method": "GET", "path": "/v1/rc/callback", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "x",
            } },
            "isBase64Encoded": false,
        });
        event.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        event
    }

    /// awslabs/aws-lambda-web-adapter#491.
    #[test]
    fn a_decoded_query_is_read() {
        for (query, value) in [
            ("error=access_denied&error_description=User denied", "User denied"),
            ("error_description=User%20denied", "User denied"),
            ("error_description=User+denied", "User denied"),
            ("error_description=<a href=\"x\">{}|\\^`", "<a href=\"x\">{}|\\^`"),
            ("error_description=\u{e9}\u{0}\n\u{1f600}", "\u{e9}\u{0}\n\u{1f600}"),
            ("error_description=%zz%", "%zz%"),
            ("error_description=#x?y", "#x?y"),
        ] {
            let (request, outcome) = request(&event(&json!({ "rawQueryString": query })), Context::default());
            outcome.unwrap();
            let parameters = request.query_string_parameters();
            assert_eq!(parameters.first("error_description"), Some(value), "{query:?}");
        }
        let long = format!("error_description={}", "x y".repeat(60_000));
        request(&event(&json!({ "rawQueryString": long })), Context::default()).1.unwrap();
    }

    #[test]
    fn headers_cookies_and_bodies_are_passed_on() {
        let change =
            json!({ "body": "aGk=", "isBase64Encoded": true, "cookies": ["a=1", "b=2"], "rawPath": "/x y" });
        let (request, outcome) = request(&event(&change), Context::default());
        outcome.unwrap();
        assert_eq!((request.body().as_ref(), request.raw_http_path()), (&b"hi"[..], "/x y"));
        assert_eq!(request.headers()["cookie"], "a=1; b=2");
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        for broken in [
            json!({}),
            json!(null),
            event(&json!({ "body": "%%%", "isBase64Encoded": true })),
            event(&json!({ "headers": { "x": "a\nb" } })),
            event(&json!({ "requestContext": 7 })),
        ] {
            assert!(request(&broken, Context::default()).1.is_err(), "{broken}");
        }
    }

    #[test]
    fn cookies_of_a_response_are_apart_from_its_headers() {
        let mut response = Response::new(Body::Text("x".to_owned()));
        *response.status_mut() = StatusCode::SEE_OTHER;
        for cookie in ["a=1; Secure", "b=2"] {
            response.headers_mut().append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        response.headers_mut().insert("location", HeaderValue::from_static("/x"));
        let payload = serde_json::to_value(payload(response)).unwrap();
        assert_eq!((&payload["statusCode"], &payload["body"]), (&json!(303), &json!("x")));
        assert_eq!(payload["cookies"], json!(["a=1; Secure", "b=2"]));
        assert_eq!(payload["headers"], json!({ "location": "/x" }));
    }

    proptest! {
        #[test]
        fn no_event_panics(
            path in "(/[ -~]{0,20}|.{0,20})", query in ".{0,40}", host in ".{0,20}", body in ".{0,20}", base64 in any::<bool>(),
            method in "(GET|POST|[ -~]{0,8})", stage in "([$]default|.{0,8})",
        ) {
            let mut event = event(&json!({
                "rawPath": path, "rawQueryString": query, "headers": { "host": host, "x-forwarded-proto": host },
                "body": body, "isBase64Encoded": base64,
            }));
            event["requestContext"]["http"]["method"] = json!(method);
            event["requestContext"]["stage"] = json!(stage);
            let (request, _) = request(&event, Context::default());
            let _ = (request.query_string_parameters().iter().count(), request.path_parameters().iter().count());
        }
    }
}
