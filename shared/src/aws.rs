//! AWS calls: the settings that all SDK clients share, and signed requests for services whose SDK crate would be used for
//! one operation only.
//!
//! `aws-sdk-lambda` and `aws-sdk-secretsmanager` would take a fifth of the time that a first build takes, for `Invoke` and
//! `GetSecretValue`. Region, endpoint and credentials come from Lambda's environment variables and nowhere else, so
//! `aws-config` and its credential chain are not needed.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use bytes::Bytes;

use crate::limits;

/// The variables that Lambda sets for every function, and the endpoint of an emulator.
#[derive(Debug, Clone)]
pub struct AwsEnvironment {
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ENDPOINT_URL`: one address for all services, instead of AWS's own.
    pub endpoint_url: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. `Debug` redacts them.
    pub credentials: Credentials,
}

/// A request to an AWS service, before it is signed.
#[derive(Debug)]
pub struct AwsRequest {
    /// The service as signatures and host names have it: `lambda`.
    pub service: &'static str,
    /// For error reports and metrics: `Invoke`.
    pub operation: &'static str,
    pub method: &'static str,
    /// The bucket of a request to S3: a part of the host name, or of the path of an emulator.
    pub bucket: Option<String>,
    /// From the slash on, percent-encoded.
    pub path: String,
    /// Headers beside those of the signature.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// How long the call may take. It is made once: whether it may be repeated is the caller's decision.
    pub timeout: Duration,
}

/// The response of an AWS service.
#[derive(Debug)]
pub struct AwsResponse {
    /// The HTTP status.
    pub status: u16,
    /// Lambda's `x-amz-function-error`: the function was run, and failed.
    pub function_error: bool,
    /// The length of the object that a HEAD request is about.
    pub content_length: Option<u64>,
    pub body: Bytes,
}

/// The request got no response; it may have been carried out.
#[derive(Debug, thiserror::Error)]
#[error("no response from AWS {operation}")]
pub struct NoResponse {
    operation: &'static str,
}

/// Sends signed requests, and configures the SDK's clients. All clients of a process share connections and the trusted certificates, which
/// are read when the first one is built: that takes a third of a cold start.
#[derive(Debug, Clone)]
pub struct AwsClient {
    environment: AwsEnvironment,
    http: SharedHttpClient,
}

impl AwsClient {
    /// A client; no connection is opened yet.
    pub fn new(environment: AwsEnvironment) -> Self {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
        let http = aws_smithy_http_client::Builder::new().tls_provider(provider).build_https();
        Self { environment, http }
    }

    /// What SDK clients are built from: the environment with the product's timeouts and retries.
    pub fn sdk_config(&self) -> SdkConfig {
        let AwsEnvironment { region, endpoint_url, credentials } = self.environment.clone();
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(limits::AWS_ATTEMPT_MS))
            .operation_timeout(Duration::from_millis(limits::AWS_CALL_MS))
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(limits::AWS_ATTEMPTS)
            .with_initial_backoff(Duration::from_millis(limits::AWS_BACKOFF_MS));
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.http.clone())
            // The credentials do not change while a process lives, and every call has a deadline: caching them and watching the
            // bodies would only take CPU time.
            .identity_cache(IdentityCache::no_cache())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts)
            .retry_config(retries);
        config.set_endpoint_url(endpoint_url);
        config.build()
    }

    /// Sends a request, once.
    ///
    /// # Errors
    /// [`NoResponse`] if the request could not be signed or sent, or the response did not arrive within the timeout.
    pub async fn send(&self, request: AwsRequest) -> Result<AwsResponse, NoResponse> {
        let (service, operation, timeout) = (request.service, request.operation, request.timeout);
        let endpoint = self.endpoint(service, request.bucket.as_deref());
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(timeout).operation_timeout(timeout).build();
        let (environment, base) = (self.environment.clone(), endpoint.clone());
        Operation::builder()
            .service_name(service)
            .operation_name(operation)
            .http_client(self.http.clone())
            .endpoint_url(&endpoint)
            .no_auth()
            .no_retry()
            .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
            .timeout_config(timeouts)
            .serializer(move |request: AwsRequest| signed(&environment, &base, request))
            .deserializer::<_, NoResponse>(|response| Ok(read(response)))
            .build()
            .invoke(request)
            .await
            .map_err(|_| NoResponse { operation })
    }

    /// A URL with which anyone can make one request to S3 within this time. The headers are part of the signature.
    ///
    /// # Errors
    /// If the URL cannot be signed.
    pub fn presigned_url(
        &self,
        method: &'static str,
        bucket: &str,
        path: &str,
        headers: &[(&'static str, String)],
        expires_in: Duration,
    ) -> Result<String, BoxError> {
        let mut settings = s3_settings();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(expires_in);
        let mut url = url::Url::parse(&format!("{}{path}", self.endpoint("s3", Some(bucket))))?;
        let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let signable = SignableRequest::new(method, url.as_str(), headers, SignableBody::UnsignedPayload)?;
        let identity = self.environment.credentials.clone().into();
        let parameters = signing_parameters(&self.environment, &identity, "s3", settings)?;
        let (instructions, _) = sign(signable, &parameters.into())?.into_parts();
        let mut query: Vec<String> = url.query().map(str::to_owned).into_iter().collect();
        let signature = instructions.params().iter();
        query.extend(signature.map(|(name, value)| format!("{name}={}", percent_encoded(value))));
        url.set_query(Some(&query.join("&")));
        Ok(url.into())
    }

    fn endpoint(&self, service: &str, bucket: Option<&str>) -> String {
        let AwsEnvironment { region, endpoint_url, .. } = &self.environment;
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint = endpoint_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
        match (endpoint, bucket) {
            (Some(endpoint), None) => endpoint,
            (Some(endpoint), Some(bucket)) => format!("{endpoint}/{bucket}"),
            (None, None) => format!("https://{service}.{region}.{domain}"),
            (None, Some(bucket)) => format!("https://{bucket}.{service}.{region}.{domain}"),
        }
    }
}

/// The request with its signature. Its URI is relative to the endpoint, which the client adds.
fn signed(
    environment: &AwsEnvironment,
    endpoint: &str,
    request: AwsRequest,
) -> Result<HttpRequest, BoxError> {
    let identity = environment.credentials.clone().into();
    let settings = if request.service == "s3" { s3_settings() } else { SigningSettings::default() };
    let parameters = signing_parameters(environment, &identity, request.service, settings)?;
    let uri = format!("{endpoint}{}", request.path);
    let headers = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let signable = SignableRequest::new(request.method, &uri, headers, SignableBody::Bytes(&request.body))?;
    let (instructions, _) = sign(signable, &parameters.into())?.into_parts();
    let mut signed = http::Request::builder().method(request.method).uri(&request.path);
    for (name, value) in &request.headers {
        signed = signed.header(*name, value);
    }
    let mut signed = signed.body(SdkBody::from(request.body))?;
    instructions.apply_to_request_http1x(&mut signed);
    Ok(signed.try_into()?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "AWS compares a signature's time with its own clock, never a moved one"
)]
fn signing_parameters<'a>(
    environment: &'a AwsEnvironment,
    identity: &'a Identity,
    service: &'static str,
    settings: SigningSettings,
) -> Result<v4::SigningParams<'a, SigningSettings>, BoxError> {
    let parameters =
        v4::SigningParams::builder().identity(identity).region(&environment.region).name(service);
    Ok(parameters.time(SystemTime::now()).settings(settings).build()?)
}

/// S3 signs paths as they are, and a header with the digest of the body.
fn s3_settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings
}

/// A value of a query parameter.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

fn read(response: &HttpResponse) -> AwsResponse {
    AwsResponse {
        content_length: response.headers().get("content-length").and_then(|length| length.parse().ok()),
        status: response.status().as_u16(),
        function_error: response.headers().get("x-amz-function-error").is_some(),
        body: response.body().bytes().map(Bytes::copy_from_slice).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(region: &str, endpoint_url: Option<&str>) -> AwsEnvironment {
        AwsEnvironment {
            region: region.to_owned(),
            endpoint_url: endpoint_url.map(str::to_owned),
            credentials: Credentials::new("AKIDEXAMPLE", "secret", Some("session".to_owned()), None, "test"),
        }
    }

    #[test]
    fn each_service_has_its_endpoint_in_the_region_unless_one_is_configured() {
        let endpoint = |region, url| AwsClient::new(environment(region, url)).endpoint("lambda", None);
        assert_eq!(endpoint("us-east-1", None), "https://lambda.us-east-1.amazonaws.com");
        assert_eq!(endpoint("cn-north-1", None), "https://lambda.cn-north-1.amazonaws.com.cn");
        assert_eq!(endpoint("us-east-1", Some("http://127.0.0.1:9420/")), "http://127.0.0.1:9420");
        let bucket = |url| AwsClient::new(environment("us-east-1", url)).endpoint("s3", Some("media"));
        assert_eq!(bucket(None), "https://media.s3.us-east-1.amazonaws.com");
        assert_eq!(bucket(Some("http://127.0.0.1:9420/")), "http://127.0.0.1:9420/media");
    }

    #[test]
    fn a_presigned_url_has_an_end_and_signed_headers() {
        let client = AwsClient::new(environment("us-east-1", None));
        let headers = [("content-type", "image/png".to_owned()), ("if-none-match", "*".to_owned())];
        let url = client
            .presigned_url("PUT", "media", "/uploads/a?x=1", &headers, Duration::from_secs(900))
            .unwrap();
        assert!(url.starts_with("https://media.s3.us-east-1.amazonaws.com/uploads/a?x=1&X-Amz-"), "{url}");
        for part in [
            "X-Amz-Expires=900",
            "SignedHeaders=content-type%3Bhost%3Bif-none-match",
            "X-Amz-Security-Token=session",
        ] {
            assert!(url.contains(part), "{part} is missing: {url}");
        }
    }

    #[test]
    fn a_signature_covers_host_headers_and_session() {
        let request = AwsRequest {
            service: "lambda",
            operation: "Invoke",
            method: "POST",
            bucket: None,
            path: "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations".to_owned(),
            headers: vec![("x-amz-invocation-type", "RequestResponse".to_owned())],
            body: Bytes::from_static(b"{}"),
            timeout: Duration::from_secs(1),
        };
        let environment = environment("eu-west-1", None);
        let signed = signed(&environment, "https://lambda.eu-west-1.amazonaws.com", request).unwrap();
        let authorization = signed.headers().get("authorization").unwrap();
        assert!(authorization.contains("/eu-west-1/lambda/aws4_request"), "{authorization}");
        for header in ["host", "x-amz-date", "x-amz-invocation-type", "x-amz-security-token"] {
            assert!(authorization.contains(header), "{header} is not signed: {authorization}");
        }
        assert_eq!(signed.headers().get("x-amz-security-token"), Some("session"));
    }
}
