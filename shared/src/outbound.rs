//! HTTP requests to URLs that tenants choose, protected against server-side request forgery.
//!
//! Each request resolves the host name itself, checks every address that it resolves to, connects to a checked address, and
//! checks the peer address of the connection again. Proxies are not used, bodies are not decompressed, connections are not
//! reused. One deadline covers name resolution, connection, TLS, headers and body, and a limited part of the response is read.
//! Only downloads follow redirects, each of which is checked like the first URL.
//!
//! No other module sends requests to URLs that are not part of the deployment's own configuration.

mod addresses;
mod download;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, CONNECTION, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::{Host, Url};

pub use addresses::is_public;
pub use download::{ByteBudget, Download, DownloadError};

use crate::model::display_text::is_invisible;
use crate::{clock, limits};

/// Which destinations are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destinations {
    /// https to public addresses.
    Public,
    /// Also http to the loopback address, for development.
    PublicAndLoopback,
}

#[derive(Debug, Clone)]
pub struct OutboundResponse {
    pub status: u16,
    /// The wait that `Retry-After` requests.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, at most [`limits::OUTBOUND_RESPONSE_BYTES`].
    pub body: Bytes,
}

/// Why there is no response. The texts are part of the API (`lastError`). They reveal nothing about the network behind a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// Not https, with credentials, an IP literal, or a name that resolves to a special-purpose address.
    #[error("address_not_allowed")]
    NotAllowed,
    /// The name does not resolve.
    #[error("name_not_found")]
    NameNotFound,
    #[error("connection_failed")]
    ConnectionFailed,
    /// The certificate is not valid, or the server does not speak TLS.
    #[error("tls_failed")]
    TlsFailed,
    #[error("timeout")]
    Timeout,
    /// The response is not valid HTTP, or the connection was closed early.
    #[error("invalid_answer")]
    InvalidResponse,
}

#[derive(Debug, Clone)]
pub struct Exchange {
    pub outcome: Result<OutboundResponse, OutboundError>,
    /// From name resolution to the last byte read.
    pub took: Duration,
}

impl Exchange {
    /// True if the endpoint answered with a 2xx status in time.
    pub fn is_accepted(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|response| (200..300).contains(&response.status))
    }
}

#[derive(Debug)]
pub struct Outbound {
    destinations: Destinations,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Outbound {
    pub fn new(destinations: Destinations) -> Self {
        Self { destinations, tls: OnceLock::new() }
    }

    /// Posts a JSON body with additional headers. A date in `Retry-After` is relative to the `Date` of
    /// the response, or to `now` without one.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        json: String,
        now: Timestamp,
    ) -> Exchange {
        let began = Instant::now();
        let deadline = Duration::from_millis(limits::OUTBOUND_MS);
        let outcome = match tokio::time::timeout(deadline, self.exchange(url, headers, json, now)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(OutboundError::Timeout),
        };
        Exchange { outcome, took: began.elapsed() }
    }

    async fn exchange(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        json: String,
        now: Timestamp,
    ) -> Result<OutboundResponse, OutboundError> {
        let target = Target::parse(url, self.destinations)?;
        let request = target.post(headers, json)?;
        self.send(&target, request, async |response| read(response, now).await).await
    }

    /// Sends one request on its own connection, and reads its response.
    async fn send<T, E: From<OutboundError>>(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
    ) -> Result<T, E> {
        let addresses = target.resolve().await?;
        let stream = target.connect(&addresses).await?;
        if target.is_tls {
            let name = ServerName::try_from(target.host.clone()).map_err(|_| OutboundError::NotAllowed)?;
            let tls = TlsConnector::from(Arc::clone(self.tls())).connect(name, stream).await;
            send(TokioIo::new(tls.map_err(|_| OutboundError::TlsFailed)?), request, read).await
        } else {
            send(TokioIo::new(stream), request, read).await
        }
    }

    fn tls(&self) -> &Arc<ClientConfig> {
        self.tls.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            let provider = Arc::new(crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("the provider speaks TLS 1.2 and 1.3")
                .with_root_certificates(roots)
                .with_no_client_auth();
            Arc::new(config)
        })
    }
}

/// Checks a URL as far as its text allows. The addresses behind its host name are checked with every request.
pub fn is_allowed_url(url: &str, destinations: Destinations) -> bool {
    Target::parse(url, destinations).is_ok()
}

/// A parsed and allowed URL.
#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
    is_tls: bool,
    path: String,
    authority: String,
}

impl Target {
    /// Accepts https with a host name and without credentials, and http to loopback if `destinations` allows it.
    fn parse(text: &str, destinations: Destinations) -> Result<Self, OutboundError> {
        let not_allowed = OutboundError::NotAllowed;
        let url = unambiguous_url(text).ok_or(not_allowed)?;
        let is_tls = match (url.scheme(), url.host()) {
            ("https", Some(Host::Domain(_))) => true,
            ("http", Some(host))
                if destinations == Destinations::PublicAndLoopback && is_loopback_host(&host) =>
            {
                false
            }
            _ => return Err(not_allowed),
        };
        let host = url.host_str().ok_or(not_allowed)?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(not_allowed)?;
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Ok(Self { host, port, is_tls, path, authority })
    }

    fn post(
        &self,
        headers: &[(&'static str, String)],
        json: String,
    ) -> Result<Request<Full<Bytes>>, OutboundError> {
        let mut request = self.request(Method::POST, Bytes::from(json))?;
        let all: &mut HeaderMap = request.headers_mut();
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| OutboundError::NotAllowed)?;
            all.insert(*name, value);
        }
        Ok(request)
    }

    fn request(&self, method: Method, body: Bytes) -> Result<Request<Full<Bytes>>, OutboundError> {
        let request = Request::builder().method(method).uri(self.path.as_str());
        let mut request = request.body(Full::new(body)).map_err(|_| OutboundError::NotAllowed)?;
        let all: &mut HeaderMap = request.headers_mut();
        let host = HeaderValue::from_str(&self.authority).map_err(|_| OutboundError::NotAllowed)?;
        all.insert(HOST, host);
        all.insert(ACCEPT, HeaderValue::from_static("*/*"));
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("Ringbridge/", env!("CARGO_PKG_VERSION"))));
        all.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }

    /// The addresses of the host name, in the order of the resolver. One address that is not allowed rejects them all.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, OutboundError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<_> = found.map_err(|_| OutboundError::NameNotFound)?.collect();
        self.check(&found)?;
        Ok(found)
    }

    /// Connects to the first address that accepts a connection.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, OutboundError> {
        for address in addresses {
            let Ok(stream) = TcpStream::connect(address).await else { continue };
            let peer = stream.peer_addr().map_err(|_| OutboundError::ConnectionFailed)?;
            self.check(&[peer])?;
            return Ok(stream);
        }
        Err(OutboundError::ConnectionFailed)
    }

    fn check(&self, addresses: &[SocketAddr]) -> Result<(), OutboundError> {
        let is_allowed = |ip: IpAddr| if self.is_tls { is_public(ip) } else { ip.is_loopback() };
        match addresses {
            [] => Err(OutboundError::NameNotFound),
            all if all.iter().all(|address| is_allowed(address.ip())) => Ok(()),
            _ => Err(OutboundError::NotAllowed),
        }
    }
}

/// Parses a URL that every parser reads in the same way. `Url` repairs others, and other programs repair them differently:
/// backslashes, tabs, missing and additional slashes, encoded host names, and numbers instead of IP addresses.
fn unambiguous_url(text: &str) -> Option<Url> {
    let is_plain = |c: char| c != '\\' && !c.is_whitespace() && !is_invisible(c);
    let (scheme, rest) = text.split_once("://").filter(|_| text.chars().all(is_plain))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) || host.contains(['@', '%', '[']) || !is_port {
        return None;
    }
    let url = Url::parse(text).ok()?;
    // An internationalized name is converted; any other name stays as it is.
    let is_same = |parsed: &str| !host.is_ascii() || host.eq_ignore_ascii_case(parsed);
    let is_clear = match url.host()? {
        Host::Domain(name) => is_same(name) && is_host_name(name),
        Host::Ipv4(address) => host == address.to_string(),
        Host::Ipv6(_) => false,
    };
    is_clear.then_some(url)
}

/// The limits of DNS, and letters, digits, hyphens and underscores; no dot at the end. As all top-level domains do, the last
/// label starts with a letter.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_text = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (1..=63).contains(&label.len()) && is_text && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_loopback_host(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => *address == Ipv4Addr::LOCALHOST,
        Host::Ipv6(_) => false,
    }
}

async fn send<I, T, E>(
    io: TokioIo<I>,
    request: Request<Full<Bytes>>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
) -> Result<T, E>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    E: From<OutboundError>,
{
    let invalid = |_| OutboundError::InvalidResponse;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits::OUTBOUND_RESPONSE_BYTES)
        .handshake(io)
        .await
        .map_err(invalid)?;
    let exchange = async { read(sender.send_request(request).await.map_err(invalid)?).await };
    // The connection makes progress only while it is polled. When it ends, buffered data can still be read.
    let driver = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        response = exchange => response,
        () = driver => Err(OutboundError::InvalidResponse.into()),
    }
}

async fn read(mut response: Response<Incoming>, now: Timestamp) -> Result<OutboundResponse, OutboundError> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = text(RETRY_AFTER).and_then(|value| clock::retry_after(value, text(DATE), now));
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while body.len() < limits::OUTBOUND_RESPONSE_BYTES {
        let Some(frame) = response.body_mut().frame().await else { break };
        let frame = frame.map_err(|_| OutboundError::InvalidResponse)?;
        let Some(chunk) = frame.data_ref() else { continue };
        let room = limits::OUTBOUND_RESPONSE_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(OutboundResponse { status, retry_after, body: body.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::string::string_regex;

    use super::*;

    /// Spellings of the loopback address and of special-purpose ranges, and other URLs that are not allowed.
    const SPELLINGS: [&str; 22] = [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://１２７.0.0.1/",
        "https://0/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
    ];

    #[tokio::test]
    async fn no_spelling_of_an_address_literal_is_connected_to() {
        for destinations in [Destinations::Public, Destinations::PublicAndLoopback] {
            for url in SPELLINGS {
                let exchange =
                    Outbound::new(destinations).post(url, &[], "{}".into(), Timestamp::UNIX_EPOCH).await;
                assert_eq!(exchange.outcome.unwrap_err(), OutboundError::NotAllowed, "{url}");
            }
        }
    }

    /// strapi/strapi#7079 and relatives.
    #[test]
    fn urls_that_parsers_read_differently_are_not_allowed() {
        let (label, name) = ("a".repeat(64), format!("{}.example", vec!["a".repeat(63); 4].join(".")));
        let mut wrong: Vec<String> = [
            "https://example.com\\@evil.example/h",
            "https:\\\\example.com/h",
            "https://example.com\\h",
            "https:///example.com/h",
            "https:////example.com/h",
            "https:/example.com/h",
            "https:example.com/h",
            "//example.com/h",
            "example.com/h",
            "https://a..b.example/",
            "https://.example.com/",
            "https://example.com./",
            "https://example.com../",
            "https://./",
            "https://../",
            "https://-a.example/",
            "https://a-.example/",
            "https://example.com:/h",
            "https://example.com:443:443/h",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://example.com:+443/",
            "https://example.com:x/",
            "https://user@example.com/",
            "https://:@example.com/",
            "https://@example.com/",
            "https://example.com@/",
            "https://ex%61mple.com/",
            "https://example%2ecom/",
            "https://%31%32%37.0.0.1/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://017700000001/",
            "https://1.2.3/",
            "https://example.123/",
            "https://example.0x1/",
            "https://example.1a/",
            "https://example._a/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[v1.x]/",
            "https://exa mple.com/",
            "https://exa\tmple.com/",
            "https://example.com/\n",
            "https://example.com/a b",
            "\thttps://example.com/",
            " https://example.com/",
            "https://example.com/ ",
            "h\nttps://example.com/",
            "https://example.com\u{a0}/",
            "https://example.com/\u{200b}",
            "https://exam\u{ad}ple.com/",
            "https://exam\u{200d}ple.com/",
            "https://example.com/\u{202e}",
            "https://ex<ample.com/",
            "https://ex^ample.com/",
            "https://ex|ample.com/",
            "https://a,b.example/",
            "https://a;b.example/",
            "https://xn--/",
            "https://xn--a.example/",
            "https://\u{ff05}41.example/",
            "https://\u{2100}.example/",
            "https://?x",
            "https://#x",
            "https://",
            "https:",
            "",
            "://example.com",
            "javascript://example.com/%0aalert(1)",
            "data:text/html,x",
            "ftp://example.com/",
        ]
        .map(str::to_owned)
        .into();
        wrong.extend([format!("https://{label}.example/"), format!("https://{name}/")]);
        for url in wrong {
            for destinations in [Destinations::Public, Destinations::PublicAndLoopback] {
                assert!(!is_allowed_url(&url, destinations), "{url:?}");
            }
        }
        for url in [
            "http://127.1/",
            "http://0x7f.1/",
            "http://127.0.0.1./",
            "http://localhost./",
            "http://127.0.0.1@localhost/",
        ] {
            assert!(!is_allowed_url(url, Destinations::PublicAndLoopback), "{url:?}");
        }
    }

    #[test]
    fn usual_urls_are_allowed() {
        let name = format!("{}.example", vec!["a".repeat(60); 4].join("."));
        for url in [
            "https://example.com",
            "https://example.com/",
            "HTTPS://Example.COM/Hook",
            "https://example.com:8443/hook?x=1&y=%20#z",
            "https://a-b.c_d.example/h",
            "https://xn--bcher-kva.example/",
            "https://b\u{fc}cher.example/",
            "https://\u{6771}\u{4eac}.example/",
            "https://example.com/path/with@at:and;more,[x]",
            "https://example.com?x",
            "https://123.example/",
            "https://1.2.3.4.example/",
            "https://prod-12.westus.logic.azure.com:443/workflows/0a/triggers/manual/paths/invoke?sp=%2Ftriggers&sig=x-_~",
            &format!("https://{}.example/", "a".repeat(63)),
            &format!("https://{name}/"),
        ] {
            assert!(is_allowed_url(url, Destinations::Public), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_the_addresses_it_resolves_to() {
        for url in ["https://localhost/", "https://LOCALHOST/"] {
            let exchange = Outbound::new(Destinations::PublicAndLoopback)
                .post(url, &[], "{}".into(), Timestamp::UNIX_EPOCH)
                .await;
            let refused = exchange.outcome.unwrap_err();
            // Some resolvers do not know the name, which is just as safe.
            assert!(
                matches!(refused, OutboundError::NotAllowed | OutboundError::NameNotFound),
                "{url}: {refused}"
            );
            assert!(!refused.to_string().contains("127"), "no address in the error");
        }
    }

    #[test]
    fn one_private_address_among_public_ones_rejects_them_all() {
        let target = Target::parse("https://example.com/hook", Destinations::Public).unwrap();
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        assert_eq!(target.check(&[at("8.8.8.8"), at("2606:4700::1111")]), Ok(()));
        for inside in ["10.0.0.1", "127.0.0.1", "::1", "fe80::1", "169.254.169.254"] {
            assert_eq!(
                target.check(&[at("8.8.8.8"), at(inside)]),
                Err(OutboundError::NotAllowed),
                "{inside}"
            );
        }
        assert_eq!(target.check(&[]), Err(OutboundError::NameNotFound));
    }

    #[test]
    fn http_is_allowed_only_to_loopback_in_development() {
        for url in ["http://127.0.0.1:9500/hook", "http://localhost:9500/hook"] {
            assert!(is_allowed_url(url, Destinations::PublicAndLoopback), "{url}");
            assert!(!is_allowed_url(url, Destinations::Public), "{url}");
        }
        let target = Target::parse("http://localhost:9500/", Destinations::PublicAndLoopback).unwrap();
        let public = SocketAddr::new("8.8.8.8".parse().unwrap(), 9500);
        assert_eq!(
            target.check(&[public]),
            Err(OutboundError::NotAllowed),
            "a loopback name that resolves to a public address"
        );
    }

    proptest! {
        #[test]
        fn only_https_urls_with_a_host_name_reach_the_resolver(text in "\\PC{0,80}") {
            if let Ok(target) = Target::parse(&text, Destinations::Public) {
                prop_assert!(target.is_tls && target.port != 0);
                prop_assert!(target.host.parse::<IpAddr>().is_err());
            }
        }

        #[test]
        fn a_url_that_matches_the_documented_pattern_is_allowed(
            url in string_regex(limits::URL_PATTERN.trim_matches(['^', '$'])).unwrap()
        ) {
            let host = url.split(['/', '?', '#', ':']).nth(3).unwrap_or_default();
            let is_punycode = url.to_ascii_lowercase().contains("xn--");
            prop_assume!(host.len() <= 253 && !is_punycode && !url.chars().any(is_invisible));
            prop_assert!(is_allowed_url(&url, Destinations::Public), "{url:?}");
        }

        #[test]
        fn no_url_around_an_address_literal_is_allowed(
            scheme in "(https?|HTTPS|ftp)", user in "(|a@|a:b@)", host in "(0x)?[0-9a-fA-F.:\\[\\]]{1,40}", rest in "[ -~]{0,10}"
        ) {
            if let Ok(target) = Target::parse(&format!("{scheme}://{user}{host}/{rest}"), Destinations::Public) {
                prop_assert!(target.host.parse::<IpAddr>().is_err());
                prop_assert!(user.is_empty());
            }
        }
    }
}
