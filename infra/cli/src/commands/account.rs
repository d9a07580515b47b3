//! `login`, `logout`, `whoami`, `profiles`.

use std::io::{self, IsTerminal};

use jiff::SignedDuration;
use serde_json::json;

use super::Context;
use crate::api::{self, CurrentApiKey};
use crate::args::{LoginArguments, ProfilesCommand};
use crate::client::Client;
use crate::config::{Profile, ProfileStore};
use crate::environment;
use crate::error::{CliError, CliResult, Exit};
use crate::output::{Color, Output};
use crate::signature;
use crate::target::{self, KeySource, Target};
use crate::times;

/// The name of a profile without a name.
const DEFAULT_PROFILE: &str = "default";
/// A warning is shown this long before a key expires.
const EXPIRY_NOTICE: SignedDuration = SignedDuration::from_hours(72);

pub async fn login(context: &Context, arguments: LoginArguments) -> CliResult<()> {
    let mut config = ProfileStore::load()?;
    let name = config.name(context.profile.as_deref()).unwrap_or(DEFAULT_PROFILE).to_owned();
    let known = config.profiles.get(&name);
    let url = arguments
        .url
        .or_else(|| environment::variable("RINGBRIDGE_URL"))
        .or_else(|| known.map(|known| known.url.clone()));
    let url = url.ok_or_else(|| {
        CliError::usage("the URL of the gateway is missing").advice("Name it with --url https://…")
    })?;
    let url = target::parse(&url)?;
    if let Some(secret) = &arguments.webhook_secret {
        signature::webhook(secret)?;
    }
    let key = read_key()?;
    let client = Client::new(&url, Some(&key))?;
    let shown = check(&client, &key).await?;
    let webhook_secret =
        arguments.webhook_secret.or_else(|| known.and_then(|known| known.webhook_secret.clone()));
    let profile = Profile { url: url.as_str().trim_end_matches('/').to_owned(), key, webhook_secret };
    config.profiles.insert(name.clone(), profile);
    config.default.get_or_insert_with(|| name.clone());
    let path = config.save()?;
    print(&context.output, &shown);
    context.output.note(&format!("Stored as the profile {name} in {}", path.display()));
    Ok(())
}

/// Reads a key from the terminal, without showing it, or from stdin.
fn read_key() -> CliResult<String> {
    let read = if io::stdin().is_terminal() {
        rpassword::prompt_password("API key: ")
    } else {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    };
    let key =
        read.map_err(|error| CliError::usage(format!("the key cannot be read: {error}")))?.trim().to_owned();
    if key.is_empty() { Err(CliError::usage("there is no key on stdin")) } else { Ok(key) }
}

/// What a key may do.
enum Identity {
    App { key: Box<CurrentApiKey>, json: serde_json::Value },
    Operator,
}

/// Checks a key: that of an app, or the operator's.
async fn check(client: &Client, key: &str) -> CliResult<Identity> {
    if key.starts_with("sgw_") {
        let reply = client.call(&api::get_key()).await?;
        return Ok(Identity::App { json: reply.json(), key: Box::new(reply.value) });
    }
    let query = api::ListTenantsQuery { limit: Some(1), ..Default::default() };
    client.call(&api::list_tenants(&query)).await?;
    Ok(Identity::Operator)
}

fn print(output: &Output, identity: &Identity) {
    match identity {
        Identity::Operator if output.json => output.json(&json!({ "operator": true })),
        Identity::Operator => output.line("The operator key"),
        Identity::App { json, .. } if output.json => output.json(json),
        Identity::App { key, .. } => {
            output.line(&format!("Key      {}…", key.api_key_prefix));
            output.line(&format!("App      {}", key.app_id));
            output.line(&format!("Tenant   {} ({})", key.tenant_name, key.tenant_id));
            output.line(&format!("Scopes   {}", key.scopes.join(", ")));
            let end = key.expires_at.as_deref().map_or("does not expire".to_owned(), times::shown);
            output.line(&format!("Expires  {end}"));
            warn_of_expiry(output, key);
        }
    }
}

pub fn warn_of_expiry(output: &Output, key: &CurrentApiKey) {
    let end = key.expires_at.as_deref().and_then(|end| end.parse::<jiff::Timestamp>().ok());
    if let Some(left) =
        end.map(|end| end.duration_since(environment::now())).filter(|left| *left < EXPIRY_NOTICE)
    {
        let left = times::shown_duration(left.try_into().unwrap_or_default());
        output
            .warning(&format!("the key expires in {left}; create another one with: ringbridge keys create"));
    }
}

pub async fn whoami(context: &Context) -> CliResult<()> {
    let target = context.target()?;
    let client = Client::of_app(&target)?;
    let identity = check(&client, target.key.as_deref().unwrap_or_default()).await?;
    if !context.output.json {
        let from = match &target.source {
            KeySource::Environment => "environment".to_owned(),
            KeySource::Profile(name) => format!("profile {name}"),
            KeySource::LocalStack(_) => "local stack".to_owned(),
        };
        context.output.line(&format!("Gateway  {} ({from})", target.origin()));
    }
    print(&context.output, &identity);
    Ok(())
}

pub fn logout(context: &Context) -> CliResult<()> {
    let mut config = ProfileStore::load()?;
    let name = config.name(context.profile.as_deref()).map(str::to_owned);
    let name = name.ok_or_else(|| CliError::new(Exit::NotFound, "there is no profile"))?;
    config.profile(&name)?;
    config.profiles.remove(&name);
    if config.default.as_ref() == Some(&name) {
        config.default = None;
    }
    config.save()?;
    context.output.note(&format!(
        "Deleted the profile {name}. Its key is still valid: delete it with `ringbridge keys delete`."
    ));
    Ok(())
}

pub fn profiles(context: &Context, command: ProfilesCommand) -> CliResult<()> {
    let mut config = ProfileStore::load()?;
    match command {
        ProfilesCommand::List => {
            let is_default = |name: &str| config.default.as_deref() == Some(name);
            if context.output.json {
                let rows = config.profiles.iter().map(|(name, profile)| {
                    json!({ "name": name, "url": profile.url, "default": is_default(name) })
                });
                context.output.json(&json!({ "profiles": rows.collect::<Vec<_>>() }));
                return Ok(());
            }
            let rows: Vec<Vec<String>> = config
                .profiles
                .iter()
                .map(|(name, profile)| {
                    let mark = if is_default(name) { "default" } else { "" };
                    vec![name.clone(), profile.url.clone(), mark.to_owned()]
                })
                .collect();
            context.output.table(&["profile", "url", ""], &rows);
            Ok(())
        }
        ProfilesCommand::Use { name } => {
            config.profile(&name)?;
            config.default = Some(name.clone());
            config.save()?;
            context
                .output
                .note(&context.output.paint_err(Color::Green, &format!("{name} is the default profile")));
            Ok(())
        }
    }
}

/// Stores a new key in a profile.
pub fn store(target: &Target, name: &str, key: &str, webhook_secret: Option<&str>) -> CliResult<()> {
    let mut config = ProfileStore::load()?;
    let profile = Profile {
        url: target.origin().to_owned(),
        key: key.to_owned(),
        webhook_secret: webhook_secret.map(str::to_owned),
    };
    config.profiles.insert(name.to_owned(), profile);
    config.default.get_or_insert_with(|| name.to_owned());
    config.save().map(|_| ())
}
