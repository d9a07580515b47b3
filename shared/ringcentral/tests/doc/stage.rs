// The documentation's examples run against this simulator. Each example includes this file in a hidden line.

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

#[allow(dead_code, reason = "only some examples need a browser sign-in")]
impl Stage {
    /// Signs the first user in on the login page, and returns the URL that the browser is redirected to.
    async fn sign_in(&self, url: &url::Url) -> url::Url {
        let body = serde_json::json!({"url": url.as_str(), "username": self.seed.users[0].username});
        let control = format!("{}/_sim/authorize", self.simulator.url());
        let http = reqwest::Client::builder().build().expect("an HTTP client");
        let response = http.post(control).json(&body).send().await.expect("a response");
        let response: serde_json::Value = response.json().await.expect("JSON");
        response["redirect"].as_str().expect("a redirect").parse().expect("a URL")
    }
}
