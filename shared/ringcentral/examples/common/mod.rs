//! The simulator that the examples run against.
//!
//! Start it with `cargo local --sim-only`. If it does not listen at <http://localhost:9410>, pass its URL as the first
//! argument of the example.

use std::error::Error;

use serde_json::Value;

/// Returns the URL of the simulator, and its app and users: the client credentials, user names, passwords, JWT
/// credentials and phone numbers.
pub async fn simulator() -> Result<(String, Value), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://localhost:9410".to_owned());
    let seed = reqwest::get(format!("{url}/_sim/seed")).await?.json().await?;
    Ok((url, seed))
}

/// A string of the seed, by its JSON pointer.
pub fn text<'a>(seed: &'a Value, pointer: &str) -> &'a str {
    seed.pointer(pointer).and_then(Value::as_str).expect("the seed contains this string")
}
