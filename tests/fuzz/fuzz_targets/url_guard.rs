//! An allowed URL is https with a host name. No spelling of an IP literal is allowed.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use shared::outbound::{Destinations, is_allowed_url};
use url::{Host, Url};

fuzz_target!(|text: &str| {
    if !is_allowed_url(text, Destinations::Public) {
        return;
    }
    let url = Url::parse(text).expect("an allowed URL can be parsed");
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    let Some(Host::Domain(name)) = url.host() else { panic!("no name: {text}") };
    assert!(name.trim_end_matches('.').parse::<IpAddr>().is_err(), "an IP address: {text}");
});
