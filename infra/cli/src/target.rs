//! Which gateway a command calls, and with which key.
//!
//! In this order: `RINGBRIDGE_URL` and `RINGBRIDGE_KEY`; the profile of `--profile`; the local stack, in a folder where `cargo local` runs; the
//! default profile.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::config::{Profile, ProfileStore};
use crate::environment;
use crate::error::{CliError, CliResult, Exit};
use crate::output::{Color, Output};

/// How long a local stack may take to accept a connection.
const LOCAL_CONNECT: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    Environment,
    Profile(String),
    LocalStack(PathBuf),
}

#[derive(Debug, Clone)]
pub struct Target {
    pub url: Url,
    pub key: Option<String>,
    /// The operator key, where it is known apart from the key of a tenant.
    pub operator_key: Option<String>,
    pub webhook_secret: Option<String>,
    pub source: KeySource,
    /// The URL of the RingCentral simulator; only on the local stack.
    pub simulator: Option<String>,
    /// The profile that was asked for, to read the key again.
    profile: Option<String>,
}

/// `stack.json` of a running local stack.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LocalStack {
    gateway: String,
    ringcentral: Option<String>,
    operator_key: Option<String>,
    api_key: Option<String>,
}

impl Target {
    pub fn find(profile: Option<&str>, output: &Output) -> CliResult<Self> {
        let target = Self::read(profile)?;
        if let KeySource::LocalStack(file) = &target.source {
            let text = format!("Using the local stack at {} ({})", target.origin(), shown(file));
            output.note(&output.paint_err(Color::Dim, &text));
        }
        Ok(target)
    }

    /// The target with the key that is stored now: another one may have been stored since the program started.
    pub fn read_again(&self) -> CliResult<Self> {
        Self::read(self.profile.as_deref())
    }

    fn read(wanted: Option<&str>) -> CliResult<Self> {
        let (url, key) = (environment::variable("RINGBRIDGE_URL"), environment::variable("RINGBRIDGE_KEY"));
        let mut target = match Self::stored(wanted)? {
            Some(target) => target,
            None if url.is_some() => Self {
                url: parse(url.as_deref().unwrap_or_default())?,
                key: None,
                operator_key: None,
                webhook_secret: None,
                source: KeySource::Environment,
                simulator: None,
                profile: None,
            },
            None => {
                return Err(CliError::new(Exit::Unauthorized, "no gateway is known")
                    .advice("Run `ringbridge login`, or set RINGBRIDGE_URL and RINGBRIDGE_KEY."));
            }
        };
        if let Some(url) = &url {
            let url = parse(url)?;
            if url.origin() != target.url.origin() {
                // A stored key must not be sent to another host.
                (target.key, target.operator_key, target.webhook_secret) = (None, None, None);
                (target.source, target.simulator) = (KeySource::Environment, None);
            }
            target.url = url;
        }
        if let Some(key) = key {
            (target.key, target.operator_key) = (Some(key), None);
            target.source = KeySource::Environment;
        }
        if let Some(secret) = environment::variable("RINGBRIDGE_WEBHOOK_SECRET") {
            target.webhook_secret = Some(secret);
        }
        Ok(target)
    }

    /// What is stored in a profile or by the local stack.
    fn stored(wanted: Option<&str>) -> CliResult<Option<Self>> {
        let wanted = wanted.map(str::to_owned).or_else(|| environment::variable("RINGBRIDGE_PROFILE"));
        let config = ProfileStore::load()?;
        if let Some(name) = &wanted {
            return Self::of_profile(name, config.profile(name)?, wanted.clone()).map(Some);
        }
        if let Some(local) = running_stack() {
            return Ok(Some(local));
        }
        let Some(name) = config.name(None) else { return Ok(None) };
        Self::of_profile(name, config.profile(name)?, None).map(Some)
    }

    fn of_profile(name: &str, profile: &Profile, wanted: Option<String>) -> CliResult<Self> {
        Ok(Self {
            url: parse(&profile.url)?,
            key: Some(profile.key.clone()),
            operator_key: None,
            webhook_secret: profile.webhook_secret.clone(),
            source: KeySource::Profile(name.to_owned()),
            simulator: None,
            profile: wanted,
        })
    }

    /// The URL without a trailing slash.
    pub fn origin(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The URL of the simulator; an error elsewhere than on the local stack.
    pub fn require_simulator(&self) -> CliResult<&str> {
        self.simulator.as_deref().ok_or_else(|| {
            CliError::usage("this works on the local stack only")
                .advice("Start `cargo local`, and run the command in the same folder.")
        })
    }
}

/// Parses the URL of a gateway: https, or http on this machine.
pub fn parse(text: &str) -> CliResult<Url> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url =
        Url::parse(&with_scheme).map_err(|error| CliError::usage(format!("{text} is not a URL: {error}")))?;
    if url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url) {
        return Ok(url);
    }
    Err(CliError::usage(format!("{text} must start with https://")))
}

pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The local stack of this folder or of one above it, if it runs.
fn running_stack() -> Option<Target> {
    let here = std::env::current_dir().ok()?;
    let file = here.ancestors().map(|folder| folder.join(".local/stack.json")).find(|file| file.is_file())?;
    let stack: LocalStack = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
    let url = Url::parse(&stack.gateway).ok().filter(is_loopback)?;
    if !accepts(&url) {
        return None;
    }
    Some(Target {
        url,
        key: stack.api_key,
        operator_key: stack.operator_key,
        webhook_secret: None,
        source: KeySource::LocalStack(file),
        simulator: stack.ringcentral,
        profile: None,
    })
}

fn accepts(url: &Url) -> bool {
    let addresses =
        (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80)).to_socket_addrs();
    addresses.is_ok_and(|mut found| {
        found.any(|address: SocketAddr| TcpStream::connect_timeout(&address, LOCAL_CONNECT).is_ok())
    })
}

/// The file, relative to this folder where possible.
fn shown(file: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    file.strip_prefix(here).unwrap_or(file).display().to_string()
}
