//! Restricts the control API to programs and pages of this machine.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderValue, header};

/// Whether a request comes from this machine: over loopback, under a loopback name (which excludes DNS rebinding), and not
/// from a page of another site.
#[must_use]
pub fn is_local_request(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
    let origin = headers.get(header::ORIGIN).map(text);
    peer.ip().is_loopback()
        && headers.get(header::HOST).map(text).is_some_and(|host| is_loopback_name(&host))
        && origin.is_none_or(|o| o.split_once("://").is_some_and(|(_, host)| is_loopback_name(host)))
}

/// `host` may end in a port.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name == "127.0.0.1" || name == "[::1]"
}
