// What the examples of the documentation run on: a simulator in the place of RingCentral, and a user's browser.
// Each example includes this file in a hidden line.

use simulator::{Simulator, SimulatorOptions, SimulatorSeed};

struct Stage {
    simulator: Simulator,
    seed: SimulatorSeed,
}

async fn stage() -> Stage {
    let listener = simulator::listen(0).await.expect("a free port");
    let options = SimulatorOptions {
        public_url: simulator::public_url(&listener).expect("an address"),
        listener,
        redirect_uris: vec!["https://my.app.example/callback".to_owned()],
        data: None,
    };
    let simulator = Simulator::start(options).await.expect("a simulator");
    let seed = simulator.seed();
    Stage { simulator, seed }
}

#[allow(dead_code, reason = "only the examples with a login page have a browser")]
impl Stage {
    /// Sends the first user's browser to the login page, and tells where it comes back to.
    async fn browser(&self, url: &url::Url) -> url::Url {
        let body = serde_json::json!({"url": url.as_str(), "username": self.seed.users[0].username});
        let control = format!("{}/_sim/authorize", self.simulator.url());
        let http = reqwest::Client::builder().build().expect("an HTTP client");
        let answer = http.post(control).json(&body).send().await.expect("answered");
        let answer: serde_json::Value = answer.json().await.expect("JSON");
        answer["redirect"].as_str().expect("a redirect").parse().expect("a URL")
    }
}
