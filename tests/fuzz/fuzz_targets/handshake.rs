//! A token that is echoed is one word of printable ASCII, so that no second header can come of it.

#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(token) = HeaderValue::from_bytes(bytes) else { return };
    if receive_event::is_well_formed(&token) {
        assert!(token.len() <= shared::limits::HANDSHAKE_CHARS);
        assert!(token.as_bytes().iter().all(u8::is_ascii_graphic));
    }
});
