//! A token that is echoed is one word of printable ASCII, so that no second header can come of it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|token: &[u8]| {
    if shared::receiving::may_be_echoed(token) {
        assert!(token.len() <= shared::limits::HANDSHAKE_CHARS);
        assert!(token.iter().all(u8::is_ascii_graphic));
    }
});
