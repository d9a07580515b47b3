//! The guarded way out: requests to addresses that tenants choose.
//!
//! What such a request may reach is decided by the socket address that it is connected to, every time: the name is
//! resolved here, every address that it has is checked, the connection is made to a checked one, and its other end is
//! looked at again. Redirects are not followed, no proxy is asked, nothing is decompressed, no connection is kept. One
//! deadline covers the name, the connection, TLS, headers and body, and of the answer only a little is read.
//!
//! Nothing else in the product sends anything to an address that did not come from its own configuration.

mod addresses;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::{Host, Url};

pub use addresses::is_public;

use crate::limits;

/// Which addresses may be reached beside the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// None: https to the public internet alone.
    Internet,
    /// Also http to this machine, for development.
    InternetAndThisMachine,
}

/// An answer, as far as it is read.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// For how many seconds it asks to be left alone; only where it said so in seconds.
    pub retry_after_seconds: Option<u64>,
    /// The beginning of its body, at most [`limits::OUTBOUND_ANSWER_BYTES`].
    pub body: Bytes,
}

/// Why there is no answer. Nothing here tells what was found behind a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The address may not be used: no https, a user, an IP literal, or a name that leads to a special range.
    #[error("address_not_allowed")]
    NotAllowed,
    /// The name has no address.
    #[error("name_not_found")]
    NameNotFound,
    /// Nobody listens.
    #[error("connection_failed")]
    ConnectionFailed,
    /// The certificate is not good, or no TLS is spoken.
    #[error("tls_failed")]
    TlsFailed,
    /// The deadline came first.
    #[error("timeout")]
    Timeout,
    /// What came back is no HTTP answer, or the connection broke off.
    #[error("invalid_answer")]
    InvalidAnswer,
}

/// A request's outcome, and how long it took.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The answer, or why there is none.
    pub outcome: Result<Answer, NoAnswer>,
    /// From the name to the end of what was read.
    pub took: Duration,
}

impl Exchange {
    /// True if what was sent counts as received: the address answered 2xx in time.
    pub fn is_received(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status))
    }
}

/// Sends requests to addresses that tenants choose.
#[derive(Debug)]
pub struct Outbound {
    reach: Reach,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Outbound {
    /// A way out with this reach.
    pub fn new(reach: Reach) -> Self {
        Self { reach, tls: OnceLock::new() }
    }

    /// Posts a JSON text with further headers.
    pub async fn post(&self, url: &str, headers: &[(&'static str, String)], json: String) -> Exchange {
        let began = Instant::now();
        let deadline = Duration::from_millis(limits::OUTBOUND_MS);
        let outcome = match tokio::time::timeout(deadline, self.exchange(url, headers, json)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(NoAnswer::Timeout),
        };
        Exchange { outcome, took: began.elapsed() }
    }

    async fn exchange(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        json: String,
    ) -> Result<Answer, NoAnswer> {
        let target = Target::parse(url, self.reach)?;
        let request = target.request(headers, json)?;
        let addresses = target.resolve().await?;
        let stream = target.connect(&addresses).await?;
        if target.is_tls {
            let name = ServerName::try_from(target.host.clone()).map_err(|_| NoAnswer::NotAllowed)?;
            let tls = TlsConnector::from(Arc::clone(self.tls())).connect(name, stream).await;
            converse(TokioIo::new(tls.map_err(|_| NoAnswer::TlsFailed)?), request).await
        } else {
            converse(TokioIo::new(stream), request).await
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

/// True if a request may be tried to an address as it is written; what its name leads to is found out when it is sent.
pub fn may_be_tried(url: &str, reach: Reach) -> bool {
    Target::parse(url, reach).is_ok()
}

/// Where a request goes.
#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
    is_tls: bool,
    path: String,
    authority: String,
}

impl Target {
    /// The target in an address: https and a name, without a user; http to this machine if the reach allows it.
    fn parse(text: &str, reach: Reach) -> Result<Self, NoAnswer> {
        let not_allowed = NoAnswer::NotAllowed;
        let url = Url::parse(text).map_err(|_| not_allowed)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(not_allowed);
        }
        let is_tls = match (url.scheme(), url.host()) {
            ("https", Some(Host::Domain(_))) => true,
            ("http", Some(host)) if reach == Reach::InternetAndThisMachine && is_this_machine(&host) => false,
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

    fn request(
        &self,
        headers: &[(&'static str, String)],
        json: String,
    ) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let mut request = Request::post(self.path.as_str())
            .body(Full::new(Bytes::from(json)))
            .map_err(|_| NoAnswer::NotAllowed)?;
        let all: &mut HeaderMap = request.headers_mut();
        let host = HeaderValue::from_str(&self.authority).map_err(|_| NoAnswer::NotAllowed)?;
        all.insert(HOST, host);
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.insert(ACCEPT, HeaderValue::from_static("*/*"));
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("Ringbridge/", env!("CARGO_PKG_VERSION"))));
        all.insert(CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| NoAnswer::NotAllowed)?;
            all.insert(*name, value);
        }
        Ok(request)
    }

    /// The addresses of the name, in the resolver's order. One that may not be reached spoils them all.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, NoAnswer> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<_> = found.map_err(|_| NoAnswer::NameNotFound)?.collect();
        self.check(&found)?;
        Ok(found)
    }

    /// Connects to the first address that answers.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, NoAnswer> {
        for address in addresses {
            let Ok(stream) = TcpStream::connect(address).await else { continue };
            let peer = stream.peer_addr().map_err(|_| NoAnswer::ConnectionFailed)?;
            self.check(&[peer])?;
            return Ok(stream);
        }
        Err(NoAnswer::ConnectionFailed)
    }

    fn check(&self, addresses: &[SocketAddr]) -> Result<(), NoAnswer> {
        let may_be_reached = |ip: IpAddr| if self.is_tls { is_public(ip) } else { ip.is_loopback() };
        match addresses {
            [] => Err(NoAnswer::NameNotFound),
            all if all.iter().all(|address| may_be_reached(address.ip())) => Ok(()),
            _ => Err(NoAnswer::NotAllowed),
        }
    }
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => *address == Ipv4Addr::LOCALHOST,
        Host::Ipv6(_) => false,
    }
}

/// One request and its answer on a connection of their own.
async fn converse<I>(io: TokioIo<I>, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let invalid = |_| NoAnswer::InvalidAnswer;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits::OUTBOUND_ANSWER_BYTES)
        .handshake(io)
        .await
        .map_err(invalid)?;
    let exchange = async { read(sender.send_request(request).await.map_err(invalid)?).await };
    // The connection moves only while somebody looks after it. When it ends, what has arrived may still be read.
    let looked_after = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = exchange => answer,
        () = looked_after => Err(NoAnswer::InvalidAnswer),
    }
}

async fn read(mut response: Response<Incoming>) -> Result<Answer, NoAnswer> {
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after_seconds = retry_after.and_then(|text| text.trim().parse().ok());
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while body.len() < limits::OUTBOUND_ANSWER_BYTES {
        let Some(frame) = response.body_mut().frame().await else { break };
        let frame = frame.map_err(|_| NoAnswer::InvalidAnswer)?;
        let Some(chunk) = frame.data_ref() else { continue };
        let room = limits::OUTBOUND_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(Answer { status, retry_after_seconds, body: body.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every spelling of this machine and of special ranges that a URL can have.
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
    async fn no_spelling_of_a_literal_gets_out() {
        for reach in [Reach::Internet, Reach::InternetAndThisMachine] {
            for url in SPELLINGS {
                let exchange = Outbound::new(reach).post(url, &[], "{}".into()).await;
                assert_eq!(exchange.outcome.unwrap_err(), NoAnswer::NotAllowed, "{url}");
            }
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_where_it_leads() {
        for url in ["https://localhost/", "https://LOCALHOST./"] {
            let exchange = Outbound::new(Reach::InternetAndThisMachine).post(url, &[], "{}".into()).await;
            let refused = exchange.outcome.unwrap_err();
            // A name that the resolver does not know is no way in either.
            assert!(matches!(refused, NoAnswer::NotAllowed | NoAnswer::NameNotFound), "{url}: {refused}");
            assert!(!refused.to_string().contains("127"), "no address in the error");
        }
    }

    #[test]
    fn one_private_address_among_public_ones_spoils_them_all() {
        let target = Target::parse("https://example.com/hook", Reach::Internet).unwrap();
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        assert_eq!(target.check(&[at("8.8.8.8"), at("2606:4700::1111")]), Ok(()));
        for inside in ["10.0.0.1", "127.0.0.1", "::1", "fe80::1", "169.254.169.254"] {
            assert_eq!(target.check(&[at("8.8.8.8"), at(inside)]), Err(NoAnswer::NotAllowed), "{inside}");
        }
        assert_eq!(target.check(&[]), Err(NoAnswer::NameNotFound));
    }

    #[test]
    fn http_is_for_this_machine_in_development_alone() {
        for url in ["http://127.0.0.1:9500/hook", "http://localhost:9500/hook"] {
            assert!(may_be_tried(url, Reach::InternetAndThisMachine), "{url}");
            assert!(!may_be_tried(url, Reach::Internet), "{url}");
        }
        let target = Target::parse("http://localhost:9500/", Reach::InternetAndThisMachine).unwrap();
        let public = SocketAddr::new("8.8.8.8".parse().unwrap(), 9500);
        assert_eq!(target.check(&[public]), Err(NoAnswer::NotAllowed), "a name that was bent");
    }

    proptest! {
        #[test]
        fn whatever_is_written_only_https_with_a_name_gets_as_far_as_the_resolver(text in "\\PC{0,80}") {
            if let Ok(target) = Target::parse(&text, Reach::Internet) {
                prop_assert!(target.is_tls && target.port != 0);
                prop_assert!(target.host.parse::<IpAddr>().is_err());
            }
        }

        #[test]
        fn an_address_around_a_host_is_never_a_way_to_a_literal(
            scheme in "(https?|HTTPS|ftp)", user in "(|a@|a:b@)", host in "(0x)?[0-9a-fA-F.:\\[\\]]{1,40}", rest in "[ -~]{0,10}"
        ) {
            if let Ok(target) = Target::parse(&format!("{scheme}://{user}{host}/{rest}"), Reach::Internet) {
                prop_assert!(target.host.parse::<IpAddr>().is_err());
                prop_assert!(user.is_empty());
            }
        }
    }
}
