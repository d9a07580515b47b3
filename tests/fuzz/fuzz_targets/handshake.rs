//! An echoed token is a single word of printable ASCII, so that it can't inject a header.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|token: &[u8]| {
    if shared::receiving::may_be_echoed(token) {
        assert!(token.len() <= shared::limits::HANDSHAKE_CHARS);
        assert!(token.iter().all(u8::is_ascii_graphic));
    }
});
