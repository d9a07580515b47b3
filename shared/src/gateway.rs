//! The context of a function: configuration, clock, store and clients. Clients are built on first use, so that a cold start pays only
//! for what the function needs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_types::SdkConfig;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

use crate::aws::{AwsClient, AwsRequest};
use crate::cache::{Cache, ReadinessOutcome};
use crate::clock::{Clock, SystemClock, saturating_add};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::invoke::Functions;
use crate::limits;
use crate::media_bucket::MediaBucket;
use crate::model::media::MediaUrls;
use crate::model::secret::Secret;
use crate::model::shard::Shard;
use crate::outbound::Outbound;
use crate::queue::Queues;
use crate::ringcentral::{self, AppCredentials, Client};
use crate::schedule::ScheduleGroup;
use crate::store::Store;
use crate::vault::Vault;

#[derive(Debug)]
pub struct Gateway {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub store: Store,
    pub cache: Cache,
    sdk: SdkConfig,
    aws: AwsClient,
    vault: OnceLock<Vault>,
    functions: OnceLock<Functions>,
    queues: OnceLock<Queues>,
    outbound: OnceLock<Outbound>,
    schedules: OnceLock<ScheduleGroup>,
    browser_client: OnceLock<Client>,
    app_client: Mutex<AppClient>,
    operator_key: OnceCell<Secret>,
    event_tag_key: OnceCell<Secret>,
}

/// The client with the app's secret, until RingCentral rejects the secret.
#[derive(Debug, Default)]
struct AppClient {
    client: Option<Client>,
    discarded_at: Option<Timestamp>,
}

impl Gateway {
    /// Makes no calls.
    pub fn of(config: Config) -> Self {
        let clock = Arc::new(SystemClock { offset_seconds: config.clock_offset_seconds });
        Self::new(config, clock)
    }

    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        Shard::set_count(config.shards);
        let aws = AwsClient::new(config.aws.clone());
        let sdk = aws.sdk_config();
        let media_urls = MediaUrls { public_url: config.public_url.clone() };
        let db = aws_sdk_dynamodb::Client::new(&sdk);
        let store = Store::new(db, config.tables.clone(), media_urls, Arc::clone(&clock));
        Self {
            config,
            clock,
            store,
            cache: Cache::default(),
            sdk,
            aws,
            vault: OnceLock::new(),
            functions: OnceLock::new(),
            queues: OnceLock::new(),
            outbound: OnceLock::new(),
            schedules: OnceLock::new(),
            browser_client: OnceLock::new(),
            app_client: Mutex::default(),
            operator_key: OnceCell::new(),
            event_tag_key: OnceCell::new(),
        }
    }

    pub fn vault(&self) -> &Vault {
        self.vault.get_or_init(|| {
            let kms = aws_sdk_kms::Client::new(&self.sdk);
            Vault::new(kms, self.config.vault_key.clone(), Arc::clone(&self.clock))
        })
    }

    pub fn functions(&self) -> &Functions {
        self.functions.get_or_init(|| Functions::new(self.aws.clone()))
    }

    pub fn media_bucket(&self) -> MediaBucket {
        MediaBucket::new(self.aws.clone(), self.config.media_bucket.clone())
    }

    pub fn queues(&self) -> &Queues {
        self.queues.get_or_init(|| Queues::new(aws_sdk_sqs::Client::new(&self.sdk)))
    }

    /// Checks that every table and the vault's key can be used. The outcome is kept for [`limits::READINESS_SECONDS`].
    pub async fn check_readiness(&self) -> Result<()> {
        let now = self.clock.now();
        if let Some(readiness) = self.cache.readiness.get(READINESS, now) {
            return match readiness {
                ReadinessOutcome::Ready => Ok(()),
                ReadinessOutcome::Unavailable => {
                    Err(Error::unavailable("a dependency", "the last check failed"))
                }
            };
        }
        let store = async { self.store.check().await.map_err(Error::from) };
        let vault = async { self.vault().check().await.map_err(Error::from) };
        let outcome = tokio::try_join!(store, vault).map(|_| ());
        let readiness = if outcome.is_ok() { ReadinessOutcome::Ready } else { ReadinessOutcome::Unavailable };
        let until = saturating_add(now, SignedDuration::from_secs(limits::READINESS_SECONDS));
        self.cache.readiness.insert(READINESS, readiness, until);
        outcome
    }

    /// For URLs that tenants choose.
    pub fn outbound(&self) -> &Outbound {
        self.outbound.get_or_init(|| Outbound::new(self.config.outbound_destinations()))
    }

    pub fn schedules(&self) -> &ScheduleGroup {
        self.schedules.get_or_init(|| {
            let config = &self.config.schedules;
            let client = aws_sdk_scheduler::Client::new(&self.sdk);
            ScheduleGroup::new(client, &config.group, &config.role, &config.dead_letters)
        })
    }

    /// A client without the app's secret: for the authorization URL, and for calls with an access token.
    pub fn ringcentral(&self) -> Result<&Client> {
        if let Some(client) = self.browser_client.get() {
            return Ok(client);
        }
        let client = self.client(AppCredentials::public(&self.config.ringcentral_client_id))?;
        Ok(self.browser_client.get_or_init(|| client))
    }

    /// A client with the app's secret, for the token endpoint. The secret is read once, and again after
    /// [`Self::app_rejected`].
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
            what: "the secret of the RingCentral app is not {\"clientSecret\":\"…\"}",
            source: None,
        })?;
        let client = self.client(AppCredentials::confidential(
            &self.config.ringcentral_client_id,
            ringcentral::ClientSecret::new(secret.client_secret),
        ))?;
        app.client = Some(client.clone());
        Ok(client)
    }

    /// To be called when RingCentral rejects the app's client id or secret. Logs the field that triggers an alarm (template.yaml), and
    /// makes the next call read the secret again, because it may have been corrected.
    pub async fn app_rejected(&self) {
        tracing::error!(
            alarm = "ringcentral_app",
            problem = "RingCentral rejected the app's client id or secret",
            "RingCentral app credentials rejected"
        );
        let (now, mut app) = (self.clock.now(), self.app_client.lock().await);
        let pause = SignedDuration::from_secs(limits::APP_SECRET_REREAD_SECONDS);
        if app.discarded_at.is_none_or(|at| now.duration_since(at) >= pause) {
            *app = AppClient { client: None, discarded_at: Some(now) };
        }
    }

    /// Read once.
    pub async fn operator_key(&self) -> Result<&Secret> {
        self.operator_key.get_or_try_init(|| self.secret(&self.config.operator_secret)).await
    }

    /// Read once.
    pub async fn event_tag_key(&self) -> Result<&Secret> {
        self.event_tag_key.get_or_try_init(|| self.secret(&self.config.event_tag_secret)).await
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
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct SecretValue {
            secret_string: Secret,
        }
        let body = Bytes::from(serde_json::json!({ "SecretId": name }).to_string());
        let mut last = String::new();
        for _ in 0..limits::AWS_ATTEMPTS {
            let request = AwsRequest {
                service: "secretsmanager",
                operation: "GetSecretValue",
                method: "POST",
                bucket: None,
                path: "/".to_owned(),
                headers: vec![
                    ("x-amz-target", "secretsmanager.GetSecretValue".to_owned()),
                    ("content-type", "application/x-amz-json-1.1".to_owned()),
                ],
                body: body.clone(),
                timeout: Duration::from_millis(limits::AWS_ATTEMPT_MS),
            };
            match self.aws.send(request).await {
                Ok(response) if response.status == 200 => {
                    let value: SecretValue = serde_json::from_slice(&response.body).map_err(|_| {
                        Error::Internal { what: "a secret without a string value", source: None }
                    })?;
                    return Ok(value.secret_string);
                }
                Ok(response) if response.status < 500 && response.status != 429 => {
                    return Err(Error::unavailable("Secrets Manager", error_code(&response.body)));
                }
                Ok(response) => last = error_code(&response.body),
                Err(error) => last = error.to_string(),
            }
        }
        Err(Error::unavailable("Secrets Manager", last))
    }
}

/// The key of the one outcome in [`Cache::readiness`].
const READINESS: &str = "readiness";

/// The code of an AWS JSON error body.
fn error_code(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    body["__type"].as_str().and_then(|code| code.rsplit('#').next()).unwrap_or("no error code").to_owned()
}
