//! What a function works with: configuration, clock, store, and clients that are built when they are first used, so
//! that a cold start pays only for what the function needs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

use crate::cache::Cache;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::error::{Error, Result};
use crate::invoke::Functions;
use crate::limits;
use crate::model::secret::Secret;
use crate::outbound::Outbound;
use crate::queue::Queues;
use crate::ringcentral::{self, AppCredentials, Client};
use crate::schedule::Schedules;
use crate::store::Store;
use crate::vault::Vault;

/// What a function works with.
#[derive(Debug)]
pub struct Gateway {
    /// What the environment says.
    pub config: Config,
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// What is kept.
    pub store: Store,
    /// What this process remembers for a short time.
    pub cache: Cache,
    sdk: SdkConfig,
    vault: OnceLock<Vault>,
    functions: OnceLock<Functions>,
    queues: OnceLock<Queues>,
    outbound: OnceLock<Outbound>,
    schedules: OnceLock<Schedules>,
    browser_client: OnceLock<Client>,
    app_client: Mutex<AppClient>,
    operator_key: OnceCell<Secret>,
}

/// RingCentral with the app's secret, as long as nobody says that it is wrong.
#[derive(Debug, Default)]
struct AppClient {
    client: Option<Client>,
    forgotten_at: Option<Timestamp>,
}

impl Gateway {
    /// Reads the environment and gets ready. No call is made.
    pub async fn from_env() -> std::result::Result<Self, ConfigError> {
        let config = Config::from_env()?;
        let clock = Arc::new(SystemClock { offset_seconds: config.clock_offset_seconds });
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(limits::AWS_ATTEMPT_MS))
            .operation_timeout(Duration::from_millis(limits::AWS_CALL_MS))
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(limits::AWS_ATTEMPTS)
            .with_initial_backoff(Duration::from_millis(limits::AWS_BACKOFF_MS));
        // Lambda puts a role's credentials there and nowhere else; looking elsewhere would need a client of its own.
        let sdk = aws_config::from_env()
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .timeout_config(timeouts)
            .retry_config(retries)
            .load()
            .await;
        Ok(Self::new(config, clock, sdk))
    }

    /// A gateway on a given AWS configuration and clock.
    pub fn new(config: Config, clock: Arc<dyn Clock>, sdk: SdkConfig) -> Self {
        let store =
            Store::new(aws_sdk_dynamodb::Client::new(&sdk), config.tables.clone(), Arc::clone(&clock));
        Self {
            config,
            clock,
            store,
            cache: Cache::default(),
            sdk,
            vault: OnceLock::new(),
            functions: OnceLock::new(),
            queues: OnceLock::new(),
            outbound: OnceLock::new(),
            schedules: OnceLock::new(),
            browser_client: OnceLock::new(),
            app_client: Mutex::default(),
            operator_key: OnceCell::new(),
        }
    }

    /// The vault.
    pub fn vault(&self) -> &Vault {
        self.vault.get_or_init(|| {
            let kms = aws_sdk_kms::Client::new(&self.sdk);
            Vault::new(kms, self.config.vault_key.clone(), Arc::clone(&self.clock))
        })
    }

    /// The other functions. One of them may wait for RingCentral, so calls to it get more time than other AWS calls.
    pub fn functions(&self) -> &Functions {
        self.functions.get_or_init(|| {
            let patience = Duration::from_millis(limits::INVOKE_MS);
            let timeouts =
                TimeoutConfig::builder().operation_attempt_timeout(patience).operation_timeout(patience);
            let patient = aws_sdk_lambda::config::Builder::from(&self.sdk)
                .timeout_config(timeouts.build())
                .retry_config(RetryConfig::disabled())
                .build();
            Functions::new(aws_sdk_lambda::Client::from_conf(patient))
        })
    }

    /// The queues.
    pub fn queues(&self) -> &Queues {
        self.queues.get_or_init(|| Queues::new(aws_sdk_sqs::Client::new(&self.sdk)))
    }

    /// The way out to addresses that tenants choose.
    pub fn outbound(&self) -> &Outbound {
        self.outbound.get_or_init(|| Outbound::new(self.config.reach()))
    }

    /// The schedules of connections.
    pub fn schedules(&self) -> &Schedules {
        self.schedules.get_or_init(|| {
            let config = &self.config.schedules;
            let client = aws_sdk_scheduler::Client::new(&self.sdk);
            Schedules::new(client, &config.group, &config.role, &config.dead_letters)
        })
    }

    /// RingCentral without the app's secret: for the authorize page, and for calls with an access token.
    pub fn ringcentral(&self) -> Result<&Client> {
        if let Some(client) = self.browser_client.get() {
            return Ok(client);
        }
        let client = self.client(AppCredentials::public(&self.config.ringcentral_client_id))?;
        Ok(self.browser_client.get_or_init(|| client))
    }

    /// RingCentral with the app's secret: for the token endpoint. The secret is fetched once, and again after
    /// [`Self::app_is_refused`].
    pub async fn ringcentral_app(&self) -> Result<Client> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct AppSecret {
            client_secret: Secret,
        }
        let mut app = self.app_client.lock().await;
        if let Some(client) = &app.client {
            return Ok(client.clone());
        }
        let text = self.secret(&self.config.ringcentral_secret).await?;
        let secret: AppSecret = serde_json::from_str(text.expose()).map_err(|_| Error::Internal {
            what: "the RingCentral app's secret is not {\"clientSecret\":\"…\"}",
            source: None,
        })?;
        let client = self.client(AppCredentials::confidential(
            &self.config.ringcentral_client_id,
            ringcentral::ClientSecret::new(secret.client_secret),
        ))?;
        app.client = Some(client.clone());
        Ok(client)
    }

    /// RingCentral refuses the app's id or secret. Wakes the operator (template.yaml has an alarm on lines with this
    /// field), and has the secret read again before the next call: it may be right by now.
    pub async fn app_is_refused(&self) {
        tracing::error!(
            alarm = "ringcentral_app",
            problem = "RingCentral refuses this app's client id or secret",
            "the RingCentral app needs the operator"
        );
        let (now, mut app) = (self.clock.now(), self.app_client.lock().await);
        let pause = SignedDuration::from_secs(limits::APP_SECRET_REREAD_SECONDS);
        if app.forgotten_at.is_none_or(|at| now.duration_since(at) >= pause) {
            *app = AppClient { client: None, forgotten_at: Some(now) };
        }
    }

    /// The operator's key. It is fetched once.
    pub async fn operator_key(&self) -> Result<&Secret> {
        self.operator_key.get_or_try_init(|| self.secret(&self.config.operator_secret)).await
    }

    fn client(&self, app: AppCredentials) -> Result<Client> {
        Client::builder(&self.config.ringcentral_server, app)
            .redirect_uri(self.config.redirect_uri())
            .clock(Arc::clone(&self.clock))
            .timeout(Duration::from_millis(limits::API_CALL_MS))
            .build()
            .map_err(|error| Error::internal("the RingCentral client", error))
    }

    async fn secret(&self, name: &str) -> Result<Secret> {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.sdk);
        let answer = secrets.get_secret_value().secret_id(name).send().await;
        let answer = answer.map_err(|error| {
            use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
            let code = error.as_service_error().and_then(|e| e.code()).unwrap_or("no answer").to_owned();
            Error::unavailable("the secret store", code)
        })?;
        answer
            .secret_string
            .map(Secret::new)
            .ok_or(Error::Internal { what: "a secret has no text", source: None })
    }
}
