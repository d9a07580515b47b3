//! The options of a stack.

use crate::functions::DEFAULT_INSTANCES;
use crate::template::TemplateOverrides;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Default ports of the gateway, the simulator and the AWS endpoints.
pub const DEFAULT_PORTS: (u16, u16, u16) = (9400, 9410, 9420);

/// Where `cargo lambda watch -A 127.0.0.1 -P 9000` serves the functions.
pub const WATCH_URL: &str = "http://127.0.0.1:9000";

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DataLocation {
    /// State is kept in this folder between runs.
    Folder(PathBuf),
    /// Nothing is kept.
    Memory,
}

impl DataLocation {
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Memory => None,
        }
    }
}

/// Which parts of the stack run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StackParts {
    All,
    AwsOnly,
    SimulatorOnly,
    /// Everything around the functions, without the gateway and the functions.
    AwsAndSimulator,
}

impl StackParts {
    #[must_use]
    pub fn gateway(self) -> bool {
        self == Self::All
    }

    #[must_use]
    pub fn aws(self) -> bool {
        self != Self::SimulatorOnly
    }

    #[must_use]
    pub fn simulator(self) -> bool {
        self != Self::AwsOnly
    }
}

#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Ports of the gateway, the simulator and the AWS endpoints; 0 picks a free port. `None` uses the default ports, or
    /// the next free ones.
    pub ports: Option<(u16, u16, u16)>,
    pub data: DataLocation,
    pub template: PathBuf,
    /// The folder of the function binaries.
    pub binaries: PathBuf,
    /// Functions that failed to build.
    pub unbuilt: BTreeSet<String>,
    pub parts: StackParts,
    /// Where the functions are served if no gateway runs here.
    pub public_url: Option<String>,
    /// Another AWS emulator, or AWS itself, behind the AWS endpoints.
    pub endpoint_url: Option<String>,
    /// How many processes a function without a reserved concurrency may have at once.
    pub instances: usize,
    /// Shards of the indexes that span all tenants; `None` for the template's default.
    pub shards: Option<u8>,
}

impl StackOptions {
    /// A stack for a test: free ports, nothing kept, the debug binaries of the workspace at `root`.
    #[must_use]
    pub fn for_tests(root: &Path) -> Self {
        Self {
            ports: Some((0, 0, 0)),
            data: DataLocation::Memory,
            template: root.join("template.yaml"),
            binaries: root.join("target/debug"),
            unbuilt: BTreeSet::new(),
            parts: StackParts::All,
            public_url: None,
            endpoint_url: None,
            instances: DEFAULT_INSTANCES,
            shards: None,
        }
    }

    /// Where browsers and RingCentral reach the functions: this stack's gateway, or the server that replaces it.
    #[must_use]
    pub fn functions_url(&self, gateway: Option<&str>) -> String {
        let other = || self.public_url.as_deref().unwrap_or(WATCH_URL).trim_end_matches('/');
        gateway.unwrap_or_else(other).to_owned()
    }

    /// The values that the runner sets in the template.
    #[must_use]
    pub fn overrides(
        &self,
        rc: &Value,
        aws_url: &str,
        functions_url: &str,
        simulator_url: &str,
    ) -> TemplateOverrides {
        let mut parameters = BTreeMap::from([
            ("Stage".to_owned(), "local".to_owned()),
            ("PublicUrl".to_owned(), functions_url.to_owned()),
            ("RingCentralServer".to_owned(), simulator_url.to_owned()),
        ]);
        if let Some(client_id) = rc["clientId"].as_str() {
            parameters.insert("RingCentralClientId".to_owned(), client_id.to_owned());
        }
        if let Some(shards) = self.shards {
            parameters.insert("Shards".to_owned(), shards.to_string());
        }
        TemplateOverrides { aws_url: aws_url.to_owned(), gateway_url: functions_url.to_owned(), parameters }
    }
}
