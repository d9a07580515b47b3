//! An address that may be tried is https and names a host; an IP literal, in whatever spelling, is none.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use shared::outbound::{Reach, may_be_tried};
use url::{Host, Url};

fuzz_target!(|text: &str| {
    if !may_be_tried(text, Reach::Internet) {
        return;
    }
    let url = Url::parse(text).expect("what may be tried is a URL");
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    let Some(Host::Domain(name)) = url.host() else { panic!("no name: {text}") };
    assert!(name.trim_end_matches('.').parse::<IpAddr>().is_err(), "an IP address: {text}");
});
