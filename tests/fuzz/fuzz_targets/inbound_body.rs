//! No body of a notification makes the receiver panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = shared::receiving::has_envelope(body);
});
