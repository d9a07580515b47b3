//! The commands.

mod account;
mod apps;
mod connect;
mod deliveries;
mod doctor;
mod events;
mod forward;
mod keys;
mod listen;
mod media;
mod messages;
mod place;
mod send;
mod smoke;
mod tenants;
mod trigger;
mod verify;

use std::io::{self, IsTerminal, Write};

use crate::api;
use crate::args::Command;
use crate::bulk;
use crate::client::Client;
use crate::error::{CliError, CliResult, Exit};
use crate::output::Output;
use crate::target::Target;

/// What every command has.
pub struct Context {
    pub output: Output,
    pub profile: Option<String>,
}

impl Context {
    pub fn target(&self) -> CliResult<Target> {
        Target::find(self.profile.as_deref(), &self.output)
    }

    /// The client of the tenant's app.
    pub fn app(&self) -> CliResult<Client> {
        Client::of_app(&self.target()?)
    }

    pub fn operator(&self) -> CliResult<Client> {
        Client::of_operator(&self.target()?)
    }

    /// Asks on the terminal. Without one, the answer has to be given with `--yes`.
    pub fn confirm(&self, question: &str, yes: bool) -> CliResult<()> {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(CliError::usage(format!("{question} Repeat the command with --yes.")));
        }
        _ = write!(io::stderr(), "{question} [y/N] ");
        _ = io::stderr().flush();
        let mut answer = String::new();
        _ = io::stdin().read_line(&mut answer);
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(CliError::new(Exit::Interrupted, "nothing was done"))
        }
    }
}

/// The app that a command is about: the one named, or that of the key in use.
async fn app_id(client: &Client, named: Option<String>) -> CliResult<String> {
    match named {
        Some(id) => Ok(id),
        None => Ok(client.call(&api::get_key()).await?.value.app_id),
    }
}

pub async fn run(context: &Context, command: Command) -> CliResult<()> {
    match command {
        Command::Login(arguments) => account::login(context, arguments).await,
        Command::Logout => account::logout(context),
        Command::Whoami => account::whoami(context).await,
        Command::Profiles(command) => account::profiles(context, command),
        Command::Connect(arguments) => connect::connect(context, arguments).await,
        Command::Invite(arguments) => connect::invite(context, arguments).await,
        Command::Numbers(arguments) => connect::numbers(context, &arguments).await,
        Command::Send(arguments) => send::run(context, arguments).await,
        Command::Messages(command) => messages::run(context, command).await,
        Command::Listen(arguments) => listen::run(context, arguments).await,
        Command::Events(command) => events::run(context, command).await,
        Command::Deliveries(command) => deliveries::run(context, command).await,
        Command::Verify(arguments) => verify::run(context, &arguments),
        Command::Trigger(command) => trigger::run(context, command).await,
        Command::Bulk(command) => bulk::run(context, command).await,
        Command::Tenants(command) => tenants::run(context, command).await,
        Command::Apps(command) => apps::run(context, command).await,
        Command::Keys(command) => keys::run(context, command).await,
        Command::Doctor(arguments) => doctor::run(context, arguments).await,
        Command::Smoke(arguments) => smoke::run(context, arguments).await,
        Command::Completions { .. } => Ok(()),
    }
}
