//! The URLs of the RingCentral platform, and which URLs may receive a token.

use std::fmt;

use url::{Host, Url};

use crate::error::{Error, Result};

/// RingCentral's domains: the commercial platform, and the separate one of AT&T and Verizon. They are two
/// authorization servers, so a token of one is never sent to the other.
const DOMAINS: [&str; 2] = ["ringcentral.com", "ringcentral.biz"];

/// A RingCentral platform: an https URL, or, for a simulator, an http URL on a loopback host.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    base: Url,
    media: Option<Url>,
}

impl Server {
    /// The production platform, `https://platform.ringcentral.com`.
    pub const PRODUCTION: &'static str = "https://platform.ringcentral.com";

    /// The separate platform of AT&T Office@Hand and Verizon, `https://platform.ringcentral.biz`.
    pub const SEGREGATED: &'static str = "https://platform.ringcentral.biz";

    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self { base: parse_server_url(url)?, media: None })
    }

    /// The same platform with attachments at another URL. By default, attachments are downloaded from the platform's
    /// own URL and from RingCentral's domain.
    pub(crate) fn with_media(mut self, url: &str) -> Result<Self> {
        self.media = Some(parse_server_url(url)?);
        Ok(self)
    }

    /// The URL of a path, which starts with a slash.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let below = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{below}{path}"));
        url
    }

    /// The URL of a path on the media host: the configured one, otherwise RingCentral's `media.` host if the platform is
    /// its `platform.` host, otherwise the platform.
    pub(crate) fn media_url(&self, path: &str) -> Url {
        if let Some(media) = &self.media {
            return Self { base: media.clone(), media: None }.url(path);
        }
        let mut url = self.url(path);
        if let (Some(domain), Some(host)) = (domain_of(&url), url.host_str())
            && host.strip_prefix("platform.") == Some(domain)
        {
            // Replacing a host name by another one does not fail; if it did, the platform's host would be used.
            let _ = url.set_host(Some(&format!("media.{domain}")));
        }
        url
    }

    /// Parses a URL from a response, and checks that it may receive an access token: it is on the platform or its media
    /// host, or (https, default port) on a host of the same RingCentral domain. The media host of a simulator is another
    /// name of this machine, with the same port.
    pub(crate) fn trusted_url(&self, operation: &'static str, text: &str) -> Result<Url> {
        let refuse = || Error::refused(operation, "the URL is not on a RingCentral host");
        let url = Url::parse(text).map_err(|_| refuse())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse());
        }
        let own = same_origin(&url, &self.base) || self.media.as_ref().is_some_and(|m| same_origin(&url, m));
        let sibling = || {
            url.scheme() == "https"
                && url.port().is_none()
                && domain_of(&url).is_some()
                && domain_of(&url) == domain_of(&self.base)
        };
        let of_simulator = || {
            let same_port = url.port_or_known_default() == self.base.port_or_known_default();
            url.scheme() == self.base.scheme() && same_port && is_loopback(&url) && is_loopback(&self.base)
        };
        if own || sibling() || of_simulator() { Ok(url) } else { Err(refuse()) }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.base)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

impl Server {
    /// Whether a redirect may lead to a URL that is not trusted: over https, or on this machine from a simulator.
    pub(crate) fn may_redirect_to(&self, url: &Url) -> bool {
        let is_allowed = match url.scheme() {
            "https" => url.has_host(),
            "http" => is_loopback(url) && is_loopback(&self.base),
            _ => false,
        };
        is_allowed && url.username().is_empty() && url.password().is_none()
    }
}

fn parse_server_url(text: &str) -> Result<Url> {
    let refuse = |reason| Error::refused("server", reason);
    let url = Url::parse(text).map_err(|_| refuse("the server URL is malformed"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("the server URL must not contain a user name"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("the server URL must not contain a query or fragment"));
    }
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(refuse("the server URL must be https, or http on a loopback host")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

fn domain_of(url: &Url) -> Option<&'static str> {
    let Some(Host::Domain(name)) = url.host() else { return None };
    DOMAINS
        .into_iter()
        .find(|domain| name == *domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_https_or_loopback() {
        for good in [
            Server::PRODUCTION,
            Server::SEGREGATED,
            "http://127.0.0.1:9410",
            "http://[::1]:9410",
            "http://localhost:9410/",
            "https://proxy.example/rc",
        ] {
            assert!(Server::new(good).is_ok(), "{good}");
        }
        for bad in [
            "http://platform.ringcentral.com",
            "http://localhost.example",
            "https://user:pass@platform.ringcentral.com",
            "https://platform.ringcentral.com?a=b",
            "ftp://localhost",
            "platform.ringcentral.com",
            "",
        ] {
            assert!(Server::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_appended_to_the_base_url() {
        let url = |base: &str| Server::new(base).expect("valid").url("/restapi/v1.0").to_string();
        assert_eq!(url("https://platform.ringcentral.com"), "https://platform.ringcentral.com/restapi/v1.0");
        assert_eq!(url("https://proxy.example/rc/"), "https://proxy.example/rc/restapi/v1.0");
    }

    #[test]
    fn attachments_come_from_the_media_host() {
        let url = |server: Server| server.media_url("/x").to_string();
        let server = |url: &str| Server::new(url).expect("valid");
        assert_eq!(url(server(Server::PRODUCTION)), "https://media.ringcentral.com/x");
        assert_eq!(url(server(Server::SEGREGATED)), "https://media.ringcentral.biz/x");
        let simulator = server("http://127.0.0.1:9410");
        assert_eq!(url(simulator.clone()), "http://127.0.0.1:9410/x");
        let simulator = simulator.with_media("http://127.0.0.1:9411").expect("valid");
        assert_eq!(url(simulator), "http://127.0.0.1:9411/x");
    }

    #[test]
    fn only_ringcentral_hosts_receive_a_token() {
        let production = Server::new(Server::PRODUCTION).expect("valid");
        let trusted = |url: &str| production.trusted_url("test", url).is_ok();
        assert!(trusted("https://media.ringcentral.com/restapi/v1.0/x?a=b"));
        assert!(trusted("https://platform.ringcentral.com:443/x"));
        for foreign in [
            "http://media.ringcentral.com/x",
            "https://media.ringcentral.com:8443/x",
            "https://ringcentral.com.evil.example/x",
            "https://evilringcentral.com/x",
            "https://media.ringcentral.biz/x",
            "https://a:b@media.ringcentral.com/x",
            "https://127.0.0.1/x",
            "/relative",
        ] {
            assert!(!trusted(foreign), "{foreign}");
        }
    }

    #[test]
    fn redirects_lead_to_https_urls_only() {
        let production = Server::new(Server::PRODUCTION).expect("valid");
        let may = |server: &Server, url: &str| server.may_redirect_to(&url.parse().expect("a URL"));
        assert!(may(&production, "https://storage.example/1?signature=x"));
        for unsafe_url in [
            "http://storage.example/1",
            "http://127.0.0.1/1",
            "https://a:b@storage.example/1",
            "ftp://storage.example/1",
            "data:text/plain,1",
        ] {
            assert!(!may(&production, unsafe_url), "{unsafe_url}");
        }
        let simulator = Server::new("http://localhost:9410").expect("valid");
        assert!(may(&simulator, "http://127.0.0.1:9411/1") && !may(&simulator, "http://storage.example/1"));
    }

    #[test]
    fn with_a_simulator_only_it_and_its_media_host_receive_a_token() {
        let server = Server::new("http://127.0.0.1:9410").expect("valid");
        assert!(server.trusted_url("test", "http://127.0.0.1:9410/media/1").is_ok());
        assert!(server.trusted_url("test", "http://localhost:9410/media/1").is_ok());
        assert!(server.trusted_url("test", "https://localhost:9410/media/1").is_err());
        assert!(server.trusted_url("test", "http://simulator.example:9410/media/1").is_err());
        assert!(server.trusted_url("test", "http://127.0.0.1:9411/media/1").is_err());
        assert!(server.trusted_url("test", "https://media.ringcentral.com/1").is_err());
        let server = server.with_media("http://127.0.0.1:9411").expect("valid");
        assert!(server.trusted_url("test", "http://127.0.0.1:9411/media/1").is_ok());
    }
}
