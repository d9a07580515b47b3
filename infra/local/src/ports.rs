//! The addresses of the stack: the ones asked for, or the default ones, or the next free ones after them.

use crate::options::DEFAULT_PORTS;
use anyhow::{Result, bail};
use std::net::Ipv4Addr;
use tokio::net::TcpListener;

/// Ports tried after a default one that is taken.
const TRIES: u16 = 60;

/// Listeners for the gateway, the simulator and the AWS endpoints, with what to tell about ports that moved.
pub struct Listeners {
    /// Gateway.
    pub gateway: TcpListener,
    /// Simulator.
    pub simulator: TcpListener,
    /// AWS endpoints.
    pub aws: TcpListener,
    /// One line for each port that is not the default.
    pub moved: Vec<String>,
}

/// Listens on the ports of the stack. Sockets of parts that do not run are simply not served.
pub async fn listen(ports: Option<(u16, u16, u16)>) -> Result<Listeners> {
    let mut moved = Vec::new();
    let (gateway, simulator, aws) = match ports {
        Some((gateway, simulator, aws)) => {
            (exactly(gateway).await?, exactly(simulator).await?, exactly(aws).await?)
        }
        None => (
            from(DEFAULT_PORTS.0, "gateway", &mut moved).await?,
            from(DEFAULT_PORTS.1, "simulator", &mut moved).await?,
            from(DEFAULT_PORTS.2, "AWS endpoints", &mut moved).await?,
        ),
    };
    Ok(Listeners { gateway, simulator, aws, moved })
}

async fn exactly(port: u16) -> Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) => bail!("port {port} cannot be used: {error}"),
    }
}

async fn from(port: u16, part: &str, moved: &mut Vec<String>) -> Result<TcpListener> {
    for candidate in port..port + TRIES {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, candidate)).await {
            if candidate != port {
                moved.push(format!(
                    "port {port} is taken: the {part} use{} {candidate}",
                    if part.ends_with('s') { "" } else { "s" }
                ));
            }
            return Ok(listener);
        }
    }
    bail!("no free port from {port} on for the {part}")
}
