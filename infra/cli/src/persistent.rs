//! A client for programs that run for hours: it waits for the network, through outages and rate limits, and for another key after its own
//! has expired.

use std::sync::Mutex;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::api::Call;
use crate::client::{ApiReply, Client, Failure, Pauses};
use crate::error::{CliError, CliResult, Exit};
use crate::output::Output;
use crate::target::{KeySource, Target};

/// How often the profile is read again for another key.
const KEY_PAUSE: Duration = Duration::from_secs(5);

pub struct PersistentClient {
    target: Target,
    client: Mutex<Client>,
    output: Output,
    /// What it waits for, so that each reason is shown once.
    waiting: Mutex<Option<String>>,
}

impl PersistentClient {
    pub fn new(target: Target, output: Output) -> CliResult<Self> {
        let client = Mutex::new(Client::of_app(&target)?);
        Ok(Self { target, client, output, waiting: Mutex::default() })
    }

    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Sends a request once. Waits before it returns a failure that can go away, so that the caller can send it again at once.
    pub async fn attempt<T: DeserializeOwned>(
        &self,
        call: &Call<T>,
        pauses: &mut Pauses,
    ) -> CliResult<Result<ApiReply<T>, Failure>> {
        let failure = match self.client().send(call).await {
            Ok(reply) => {
                self.go_on();
                return Ok(Ok(reply));
            }
            Err(failure) => failure,
        };
        if failure.status() == 401 {
            self.await_another_key(&failure).await?;
            return Ok(Err(failure));
        }
        if failure.is_temporary() {
            let pause = pauses.next(failure.retry_after());
            // The usual pace of a busy client is not worth a line.
            if failure.status() != 429 && failure.code() != "idempotency_in_progress" {
                self.wait_for(&CliError::from(failure.clone()).text);
            }
            tokio::time::sleep(pause).await;
        }
        Ok(Err(failure))
    }

    /// Sends a request that changes nothing until it succeeds.
    ///
    /// # Errors
    /// If it can never succeed.
    pub async fn until_done<T: DeserializeOwned>(&self, call: &Call<T>) -> CliResult<ApiReply<T>> {
        let mut pauses = Pauses::default();
        loop {
            match self.attempt(call, &mut pauses).await? {
                Ok(reply) => return Ok(reply),
                Err(failure) if failure.is_temporary() || failure.status() == 401 => {}
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// Waits until another key is stored.
    ///
    /// # Errors
    /// If the key is from the environment, which does not change.
    async fn await_another_key(&self, failure: &Failure) -> CliResult<()> {
        let KeySource::Profile(name) = &self.target.source else {
            if matches!(self.target.source, KeySource::LocalStack(_)) && self.take_stored_key() {
                return Ok(());
            }
            return Err(CliError::from(failure.clone()));
        };
        self.wait_for(&format!("the key of the profile {name} has expired or was deleted; store another one with: ringbridge --profile {name} login"));
        while !self.take_stored_key() {
            tokio::time::sleep(KEY_PAUSE).await;
        }
        self.go_on();
        Ok(())
    }

    /// Uses the key that is stored now. False if it is the same as before.
    fn take_stored_key(&self) -> bool {
        let Ok(stored) = self.target.read_again() else { return false };
        if stored.url.origin() != self.target.url.origin() {
            return false;
        }
        let Some(key) = stored.key else { return false };
        let mut client = self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if client.has_key(&key) {
            return false;
        }
        *client = client.with_key(&key);
        true
    }

    fn wait_for(&self, reason: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if waiting.as_deref() != Some(reason) {
            self.output.warning(&format!("waiting: {reason}"));
            *waiting = Some(reason.to_owned());
        }
    }

    fn go_on(&self) {
        let waited = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if waited.is_some() {
            self.output.note("Connected again.");
        }
    }
}

/// The program was interrupted.
pub fn interrupted() -> CliError {
    CliError::new(Exit::Interrupted, "interrupted")
}
