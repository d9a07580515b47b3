//! Attachments: in parts, through redirects, and the hosts that receive the access token.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use ringbridge_ringcentral::{Api, Attachment, Error, ErrorKind, Id, Message};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::support::Rc;

fn picture() -> Vec<u8> {
    (0..=255).cycle().take(100_001).collect()
}

/// A received message with a picture.
async fn received(rc: &Rc, api: &Api) -> Message {
    let base64 = data_encoding::BASE64.encode(&picture());
    let media = json!([{"contentType": "image/png", "fileName": "a.png", "base64": base64}]);
    let body = json!({"from": "+16505550111", "to": rc.user("101").numbers[0], "media": media});
    let response = rc.control(reqwest::Method::POST, "inbound", body).await;
    let id: Id = response["messageId"].as_str().expect("an id").parse().expect("a number");
    api.message(id).await.expect("stored")
}

fn file(message: &Message) -> &Attachment {
    message.media().next().expect("a picture")
}

/// The next requests for content get this response instead, once.
async fn content_fault(rc: &Rc, fault: Value) {
    rc.faults(json!([{"match": {"path": "/content/"}, "times": 1, "do": fault}])).await;
}

/// A server that is not RingCentral's: `/picture` has the picture, `/loop` redirects to itself, and `/back?URL` to a URL.
/// Reports the path and the authorization of each request.
async fn other_server() -> (String, UnboundedReceiver<(String, Option<String>)>, JoinSet<()>) {
    let (sender, received) = unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let handler = move |uri: Uri, headers: HeaderMap| async move {
        let authorization = headers.get(header::AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().expect("text").to_owned());
        let _ = sender.send((uri.path().to_owned(), authorization));
        let to = |url: &str| {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url.to_owned())]).into_response()
        };
        let response: Response = match uri.path() {
            "/picture" => ([(header::CONTENT_TYPE, "image/png")], picture()).into_response(),
            "/loop" => to("loop"),
            "/back" => to(uri.query().expect("a URL")),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        };
        response
    };
    let mut server = JoinSet::new();
    let routes = axum::Router::new().fallback(handler);
    server.spawn(async move { axum::serve(listener, routes).await.expect("served") });
    (url, received, server)
}

#[tokio::test]
async fn parts_are_continued_and_redirects_followed_until_the_whole_is_read() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let message = received(&rc, &api).await;
    let uri = file(&message).uri.as_deref().expect("a URL");
    assert!(uri.starts_with("http://127.0.0.1:"), "another host than the platform's: {uri}");
    for (partial, redirect) in [(false, false), (true, false), (false, true), (true, true)] {
        rc.settings(json!({"media": {"partial": partial, "redirect": redirect}})).await;
        let content = api.attachment(file(&message)).await.expect("read");
        assert!(content.bytes == picture(), "partial {partial}, redirect {redirect}");
        assert_eq!(content.content_type.as_deref(), Some("image/png"));
        let by_id = api.attachment_by_id(message.id, file(&message).id).await.expect("read by id");
        assert!(by_id.bytes == picture(), "partial {partial}, redirect {redirect}");
    }
    for partial in [false, true] {
        rc.settings(json!({"media": {"partial": partial, "redirect": false}})).await;
        let size = picture().len();
        assert!(api.attachment_with_limit(file(&message), size).await.is_ok());
        let error = api.attachment_with_limit(file(&message), size - 1).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{error}");
    }
    api.purge_message(message.id).await.expect("purged");
    assert_eq!(api.attachment(file(&message)).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_part_that_does_not_fit_is_an_error() {
    let rc = Rc::start().await;
    let api = rc.client().api(&rc.tokens().await.access_token);
    let message = received(&rc, &api).await;
    for range in ["bytes 1-3/10", "bytes 0-3/10", "bytes 0-2/2", "bytes 0-2/*", "bytes 0-2/99999999999", ""] {
        let headers = json!({"content-range": range});
        content_fault(&rc, json!({"status": 206, "headers": headers, "body": "abc"})).await;
        let error = api.attachment(file(&message)).await.expect_err(range);
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{range}: {error}");
    }
    // The rest comes from the same place.
    let headers = json!({"content-range": format!("bytes 0-2/{}", picture().len())});
    content_fault(&rc, json!({"status": 206, "headers": headers, "body": "abc"})).await;
    let content = api.attachment(file(&message)).await.expect("continued");
    assert_eq!(&content.bytes[..4], b"abc\x03");
    assert!(content.bytes[3..] == picture()[3..]);
}

#[tokio::test]
async fn the_token_is_sent_to_ringcentral_only_and_redirects_are_limited() {
    let rc = Rc::start().await;
    let tokens = rc.tokens().await;
    let api = rc.client().api(&tokens.access_token);
    let message = received(&rc, &api).await;
    let (other, mut requests, _server) = other_server().await;
    let redirected = async |location: &str| -> Result<Vec<u8>, Error> {
        content_fault(&rc, json!({"status": 302, "headers": {"location": location}})).await;
        api.attachment(file(&message)).await.map(|content| content.bytes)
    };
    assert!(redirected(&format!("{other}/picture")).await.expect("read") == picture());
    assert_eq!(requests.recv().await.expect("a request"), ("/picture".to_owned(), None));

    // Back at RingCentral, the token is sent again: without it, this would be 401.
    let uri = file(&message).uri.as_deref().expect("a URL");
    assert!(redirected(&format!("{other}/back?{uri}")).await.expect("read") == picture());
    assert_eq!(requests.recv().await.expect("a request").1, None);
    assert!(redirected(uri).await.expect("read") == picture(), "within RingCentral");

    let error = redirected(&format!("{other}/loop")).await.expect_err("endless");
    assert_eq!(error.kind(), ErrorKind::Intermediary, "{error}");
    for _ in 0..3 {
        assert_eq!(requests.recv().await.expect("a request"), ("/loop".to_owned(), None));
    }
    assert!(requests.try_recv().is_err(), "three redirects at most");

    // A rejection by another server says nothing about the token or the message.
    let error = redirected(&format!("{other}/forbidden")).await.expect_err("401");
    assert_eq!((error.kind(), error.status()), (ErrorKind::Intermediary, Some(401)));
    requests.recv().await.expect("a request");
    for location in ["http://storage.example/1", "ftp://127.0.0.1/1", "http://a:b@127.0.0.1/1", "//"] {
        let error = redirected(location).await.expect_err(location);
        assert_eq!(error.kind(), ErrorKind::Intermediary, "{location}: {error}");
    }
    assert!(requests.try_recv().is_err());
    assert_eq!(rc.count("token_refused").await, 0);
}
