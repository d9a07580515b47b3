//! How to start a stack.

use crate::template::Overrides;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Default ports of gateway, simulator and AWS endpoints.
pub const DEFAULT_PORTS: (u16, u16, u16) = (9400, 9410, 9420);

/// Where `cargo lambda watch -A 127.0.0.1 -P 9000` serves the functions.
pub const WATCH_URL: &str = "http://127.0.0.1:9000";

/// Where state is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// In this folder, between runs.
    Folder(PathBuf),
    /// Nowhere.
    Memory,
}

impl Data {
    /// The folder, if there is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Memory => None,
        }
    }
}

/// How to start a stack.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ports of gateway, simulator and AWS endpoints; 0 is any free one. `None`: the default ones, or the next free
    /// ones after them.
    pub ports: Option<(u16, u16, u16)>,
    /// Where state is kept.
    pub data: Data,
    /// The template.
    pub template: PathBuf,
    /// The folder with the function binaries.
    pub binaries: PathBuf,
    /// Functions whose code does not build.
    pub unbuilt: BTreeSet<String>,
    /// Values for parameters of the template, over those that the runner sets.
    pub parameters: BTreeMap<String, String>,
    /// Runs the AWS endpoints, and the simulator only if that is asked for too.
    pub aws_only: bool,
    /// Runs the simulator, and the AWS endpoints only if those are asked for too.
    pub sim_only: bool,
    /// Where the functions are reached when no gateway runs here: what `PublicUrl` says, and where RingCentral sends
    /// browsers back to.
    pub public_url: Option<String>,
    /// Another engine for the AWS services.
    pub endpoint_url: Option<String>,
    /// Makes a tenant and an API key at the first start, where the template has the routes for it.
    pub tenant: bool,
    /// Shows on stderr what the functions write.
    pub show_logs: bool,
}

impl Options {
    /// A stack for a test: any free ports, nothing kept, debug binaries of the workspace at `root`.
    #[must_use]
    pub fn for_tests(root: &Path) -> Self {
        Self {
            ports: Some((0, 0, 0)),
            data: Data::Memory,
            template: root.join("template.yaml"),
            binaries: root.join("target/debug"),
            unbuilt: BTreeSet::new(),
            parameters: BTreeMap::new(),
            aws_only: false,
            sim_only: false,
            public_url: None,
            endpoint_url: None,
            tenant: true,
            show_logs: false,
        }
    }

    /// Where browsers and RingCentral reach the functions: the gateway here, if there is one, or whoever serves them
    /// instead.
    #[must_use]
    pub fn reached_at(&self, gateway: Option<&str>) -> String {
        let elsewhere = || self.public_url.as_deref().unwrap_or(WATCH_URL).trim_end_matches('/');
        gateway.unwrap_or_else(elsewhere).to_owned()
    }

    /// What the runner puts into the template of a stack at these addresses.
    #[must_use]
    pub fn overrides(&self, rc: &Value, aws_url: &str, reached_at: &str, simulator_url: &str) -> Overrides {
        let mut parameters = BTreeMap::from([
            ("Stage".to_owned(), "local".to_owned()),
            ("PublicUrl".to_owned(), reached_at.to_owned()),
            ("RingCentralServer".to_owned(), simulator_url.to_owned()),
        ]);
        if let Some(client_id) = rc["clientId"].as_str() {
            parameters.insert("RingCentralClientId".to_owned(), client_id.to_owned());
        }
        parameters.extend(self.parameters.clone());
        Overrides { aws_url: aws_url.to_owned(), gateway_url: reached_at.to_owned(), parameters }
    }

    /// Whether the gateway runs.
    #[must_use]
    pub fn runs_gateway(&self) -> bool {
        !self.aws_only && !self.sim_only
    }

    /// Whether the AWS endpoints run.
    #[must_use]
    pub fn runs_aws(&self) -> bool {
        self.aws_only || !self.sim_only
    }

    /// Whether the simulator runs.
    #[must_use]
    pub fn runs_simulator(&self) -> bool {
        self.sim_only || !self.aws_only
    }
}
