//! The throttles of the HTTP API: `DefaultRouteSettings` and `RouteSettings`.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// The throttle of a route: requests a second, and how many may come at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    pub rate: f64,
    pub burst: f64,
}

#[derive(Clone, Debug, Default)]
pub struct ThrottleSettings {
    /// The throttle of each route without an entry in `routes`.
    pub default: Option<Throttle>,
    /// By route key: `POST /v1/x/{id}`, or `$default`.
    pub routes: BTreeMap<String, Throttle>,
}

impl ThrottleSettings {
    #[must_use]
    pub fn of(&self, route_key: &str) -> Option<Throttle> {
        self.routes.get(route_key).copied().or(self.default)
    }
}

/// Reads the properties of the HTTP API.
pub(super) fn settings(api: &Value) -> Result<ThrottleSettings> {
    let default = api.get("DefaultRouteSettings").map(throttle).transpose()?;
    let routes = api["RouteSettings"].as_object().into_iter().flatten();
    let routes = routes.map(|(route, settings)| {
        let throttle = throttle(settings).with_context(|| format!("RouteSettings of {route}"))?;
        Ok((route.clone(), throttle))
    });
    Ok(ThrottleSettings { default, routes: routes.collect::<Result<_>>()? })
}

fn throttle(settings: &Value) -> Result<Throttle> {
    // API Gateway takes a missing number for 0, which rejects every request.
    let number = |name: &str| {
        let value = settings.get(name).with_context(|| format!("{name} is required"))?;
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        number.filter(|number| *number >= 0.0).with_context(|| format!("{name} must be a number"))
    };
    Ok(Throttle { rate: number("ThrottlingRateLimit")?, burst: number("ThrottlingBurstLimit")? })
}
