//! Runs the examples against the simulator.

use std::path::PathBuf;

use simulator::{Simulator, SimulatorOptions};

const EXAMPLES: [(&str, &str); 7] = [
    ("password_grant", "signed out"),
    ("authorization_code", "signed in as extension 102"),
    ("token_reuse", "reused the tokens of extension 101"),
    ("injected_token", "used the token of extension 102"),
    ("concurrent_refresh", "2 pairs were issued: one sign-in, one refresh"),
    ("send_sms", "is Queued"),
    ("message_sync", "new message: Hello back!"),
];

/// The folder of the compiled examples, next to that of this test.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.parent().and_then(|deps| deps.parent()).expect("a target folder").join("examples")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_runs_against_the_simulator() {
    let listener = simulator::listen(0).await.expect("a free port");
    let options = SimulatorOptions {
        public_url: simulator::public_url(&listener).expect("an address"),
        listener,
        redirect_uris: vec!["http://localhost/callback".to_owned()],
        data: None,
    };
    let simulator = Simulator::start(options).await.expect("a simulator");
    for (name, expected) in EXAMPLES {
        let program = folder().join(name);
        assert!(program.is_file(), "run `cargo build --package ringbridge-ringcentral --examples` first");
        let run = tokio::process::Command::new(program).arg(simulator.url()).output().await.expect("started");
        let output = String::from_utf8_lossy(&run.stdout);
        let errors = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && output.contains(expected), "{name}: {output}{errors}");
    }
}

#[test]
fn every_example_is_in_the_list() {
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).expect("a folder");
    let mut names: Vec<String> = sources
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8").into())
        .filter_map(|name: String| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    let mut listed: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
    names.sort();
    listed.sort_unstable();
    assert_eq!(names, listed);
}
