//! Opens the stack's ports: the requested ones, or the default ones or the next free ones.

use crate::options::DEFAULT_PORTS;
use anyhow::{Result, bail};
use std::net::Ipv4Addr;
use tokio::net::TcpListener;

/// Ports tried, beginning with the default one.
const ATTEMPTS: u16 = 60;

pub struct StackListeners {
    pub gateway: TcpListener,
    pub simulator: TcpListener,
    pub aws: TcpListener,
    /// One line for each default port that was in use.
    pub notes: Vec<String>,
}

/// Opens all three ports, including those of parts that do not run.
pub async fn listen(ports: Option<(u16, u16, u16)>) -> Result<StackListeners> {
    let mut notes = Vec::new();
    let (gateway, simulator, aws) = match ports {
        Some((gateway, simulator, aws)) => {
            (requested(gateway).await?, requested(simulator).await?, requested(aws).await?)
        }
        None => (
            default_or_next(DEFAULT_PORTS.0, "gateway", &mut notes).await?,
            default_or_next(DEFAULT_PORTS.1, "simulator", &mut notes).await?,
            default_or_next(DEFAULT_PORTS.2, "AWS endpoints", &mut notes).await?,
        ),
    };
    Ok(StackListeners { gateway, simulator, aws, notes })
}

async fn requested(port: u16) -> Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) => bail!("port {port} cannot be used: {error}"),
    }
}

async fn default_or_next(port: u16, part: &str, notes: &mut Vec<String>) -> Result<TcpListener> {
    for candidate in port..port + ATTEMPTS {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, candidate)).await {
            if candidate != port {
                notes.push(format!(
                    "port {port} is in use; the {part} use{} {candidate}",
                    if part.ends_with('s') { "" } else { "s" }
                ));
            }
            return Ok(listener);
        }
    }
    bail!("no free port for the {part} between {port} and {}", port + ATTEMPTS - 1)
}
