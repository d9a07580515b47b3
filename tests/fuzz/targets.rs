//! The fuzz targets. Each takes any bytes, and panics if what must hold does not. The fuzzer runs them for minutes; `cargo test` runs
//! them with the kept corpus (`tests/it/fuzz_corpus.rs`).

use std::net::IpAddr;

use shared::outbound::{Destinations, is_allowed_url};
use shared::ringcentral::untrusted;
use url::{Host, Url};

type Target = fn(&[u8]);

/// All targets by name, which is that of the file in `fuzz_targets/` and of the folder in `corpus/`.
pub const TARGETS: [(&str, Target); 12] = [
    ("error_response", untrusted::error_response),
    ("event", untrusted::event),
    ("handshake", handshake),
    ("headers", untrusted::headers),
    ("inbound_body", inbound_body),
    ("numbers", untrusted::numbers),
    ("page", untrusted::page),
    ("phone_number", phone_number),
    ("record", untrusted::record),
    ("subscription", untrusted::subscription),
    ("token_response", untrusted::token_response),
    ("url_guard", url_guard),
];

/// Runs a target.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a known target");
    target(input);
}

/// An echoed token is a single word of printable ASCII, so that it cannot inject a header.
fn handshake(token: &[u8]) {
    if shared::receiving::may_be_echoed(token) {
        assert!(token.len() <= shared::limits::HANDSHAKE_CHARS);
        assert!(token.iter().all(u8::is_ascii_graphic));
    }
}

/// Every body of an event is classified.
fn inbound_body(body: &[u8]) {
    let _ = shared::receiving::is_readable(body);
}

/// A number is in E.164 form, and reading it again does not change it.
fn phone_number(text: &[u8]) {
    use shared::model::phone::{E164, address};
    let text = String::from_utf8_lossy(text);
    let read = address(&text, None);
    assert_eq!(address(&read, None), read);
    if let Some(number) = E164::read(&text, None) {
        assert_eq!(E164::parse(number.as_str()), Some(number));
    }
}

/// An allowed URL is https with a host name. No spelling of an IP literal is allowed.
fn url_guard(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if !is_allowed_url(text, Destinations::Public) {
        return;
    }
    let url = Url::parse(text).expect("an allowed URL can be parsed");
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    let Some(Host::Domain(name)) = url.host() else { panic!("no name: {text}") };
    assert!(name.trim_end_matches('.').parse::<IpAddr>().is_err(), "an IP address: {text}");
}
