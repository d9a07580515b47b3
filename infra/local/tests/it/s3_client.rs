//! Requests to S3 with signatures made by AWS's own signing crate.

use crate::test_stack::TestStack;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use reqwest::header::HeaderMap;
use std::time::{Duration, SystemTime};

pub const BUCKET: &str = "ringbridge-local-files";

/// A signer of requests.
#[derive(Clone)]
pub struct Signer {
    credentials: Credentials,
    time: SystemTime,
}

pub type Headers<'a> = &'a [(&'a str, &'a str)];

pub struct S3Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl S3Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status and the error code.
    pub fn error(&self) -> (u16, String) {
        let text = self.text();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        (self.status, code.map(|(code, _)| code.to_owned()).unwrap_or_default())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Signer {
    pub fn administrator() -> Self {
        Self::new("watch", "local", None)
    }

    /// The credentials of the fixture's function `probe`, before the clock has moved.
    pub fn probe() -> Self {
        Self::new("ASIALOCAL.probe", "local", Some("instance-1-0"))
    }

    pub fn new(id: &str, secret: &str, token: Option<&str>) -> Self {
        let credentials = Credentials::from_keys(id, secret, token.map(str::to_owned));
        Self { credentials, time: SystemTime::UNIX_EPOCH }.ahead(0)
    }

    /// The same signer with a clock that is that many seconds ahead of the real time.
    #[expect(clippy::disallowed_methods, reason = "AWS compares a signature's time with the real one")]
    pub fn ahead(&self, seconds: i64) -> Self {
        let offset = Duration::from_secs(seconds.unsigned_abs());
        let now = SystemTime::now();
        let time = if seconds < 0 { now - offset } else { now + offset };
        Self { time, ..self.clone() }
    }

    /// The URL and the headers of a signed request, or of a presigned URL with its lifetime.
    fn sign(
        &self,
        (method, url): (&str, &str),
        headers: Headers,
        body: SignableBody,
        expires: Option<Duration>,
    ) -> (String, Vec<(String, String)>) {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        if expires.is_some() {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = expires;
        } else {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(self.time)
            .settings(settings)
            .build()
            .unwrap();
        let request = SignableRequest::new(method, url, headers.iter().copied(), body).unwrap();
        let (instructions, _) = sign(request, &parameters.into()).unwrap().into_parts();
        let mut signed = url::Url::parse(url).unwrap();
        for (name, value) in instructions.params() {
            signed.query_pairs_mut().append_pair(name, value);
        }
        let added = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        (signed.into(), added.collect())
    }

    pub fn presign(&self, method: &str, url: &str, headers: Headers, seconds: u64) -> String {
        let expires = Some(Duration::from_secs(seconds));
        self.sign((method, url), headers, SignableBody::UnsignedPayload, expires).0
    }
}

impl TestStack {
    pub fn s3_url(&self, path: &str) -> String {
        format!("{}/{BUCKET}{path}", self.stack.info().aws())
    }

    /// Sends a request with a signature in its headers.
    pub async fn s3(
        &self,
        signer: &Signer,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> S3Response {
        let url = self.s3_url(path);
        let (_, added) = signer.sign((method, &url), headers, SignableBody::Bytes(body), None);
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        all.extend(added.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.send(method, &url, &all, body).await
    }

    /// Sends a request without another signature than the URL's.
    pub async fn send(&self, method: &str, url: &str, headers: Headers<'_>, body: &[u8]) -> S3Response {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method.clone(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == reqwest::Method::PUT || !body.is_empty() {
            request = request.body(body.to_vec());
        }
        let response = request.send().await.unwrap();
        S3Response {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }
}
