//! Where RingCentral is, and which addresses may get a token.

use std::fmt;

use url::{Host, Url};

use crate::error::{Error, Result};

/// RingCentral's own domains: the commercial platform, and the segregated one of AT&T and Verizon. They are
/// two authorization servers, so a token of one is never sent to the other.
const DOMAINS: [&str; 2] = ["ringcentral.com", "ringcentral.biz"];

/// The platform to talk to: an https address, or (a simulator) http on a loopback host.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    base: Url,
    media: Option<Url>,
}

impl Server {
    /// The production platform, `https://platform.ringcentral.com`.
    pub const PRODUCTION: &'static str = "https://platform.ringcentral.com";

    /// The segregated platform of AT&T Office@Hand and Verizon, `https://platform.ringcentral.biz`.
    pub const SEGREGATED: &'static str = "https://platform.ringcentral.biz";

    /// Checks an address.
    ///
    /// # Errors
    /// [`Kind::Refused`](super::Kind::Refused) if it is no URL, carries a user name, query or fragment, or is
    /// neither https nor http on a loopback host.
    pub fn new(address: &str) -> Result<Self> {
        Ok(Self { base: checked(address)?, media: None })
    }

    /// The same platform with binary content on another address, as checked by [`Server::new`]. Without it,
    /// binary content is taken from the platform's own address and from RingCentral's domains.
    ///
    /// # Errors
    /// As [`Server::new`].
    pub fn with_media(mut self, address: &str) -> Result<Self> {
        self.media = Some(checked(address)?);
        Ok(self)
    }

    /// The address with a path below it. `path` begins with a slash.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let below = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{below}{path}"));
        url
    }

    /// A path on the host of binary content: the one that was set, RingCentral's `media.` beside its
    /// `platform.`, or else the platform itself.
    pub(crate) fn media_at(&self, path: &str) -> Url {
        if let Some(media) = &self.media {
            return Self { base: media.clone(), media: None }.at(path);
        }
        let mut url = self.at(path);
        if let (Some(domain), Some(host)) = (domain_of(&url), url.host_str())
            && host.strip_prefix("platform.") == Some(domain)
        {
            // A name in place of a name: this cannot fail, and if it did, the platform would be asked.
            let _unchanged = url.set_host(Some(&format!("media.{domain}")));
        }
        url
    }

    /// Checks that an address from an answer may get an access token: the platform itself, its media
    /// address, or (https, default port) a host in the same domain of RingCentral.
    pub(crate) fn trusted(&self, operation: &'static str, address: &str) -> Result<Url> {
        let refuse = || Error::refused(operation, "the address is not one of RingCentral's");
        let url = Url::parse(address).map_err(|_| refuse())?;
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
        if own || sibling() { Ok(url) } else { Err(refuse()) }
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

fn checked(address: &str) -> Result<Url> {
    let refuse = |reason| Error::refused("server", reason);
    let url = Url::parse(address).map_err(|_| refuse("the server address is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("the server address must not carry a user name"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("the server address must not carry a query or fragment"));
    }
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(refuse("the server address must be https, or http on a loopback host")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
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
    fn paths_are_put_below_the_address() {
        let at = |base: &str| Server::new(base).expect("valid").at("/restapi/v1.0").to_string();
        assert_eq!(at("https://platform.ringcentral.com"), "https://platform.ringcentral.com/restapi/v1.0");
        assert_eq!(at("https://proxy.example/rc/"), "https://proxy.example/rc/restapi/v1.0");
    }

    #[test]
    fn binary_content_has_its_own_host() {
        let at = |server: Server| server.media_at("/x").to_string();
        let server = |address: &str| Server::new(address).expect("valid");
        assert_eq!(at(server(Server::PRODUCTION)), "https://media.ringcentral.com/x");
        assert_eq!(at(server(Server::SEGREGATED)), "https://media.ringcentral.biz/x");
        let simulator = server("http://127.0.0.1:9410");
        assert_eq!(at(simulator.clone()), "http://127.0.0.1:9410/x");
        let simulator = simulator.with_media("http://127.0.0.1:9411").expect("valid");
        assert_eq!(at(simulator), "http://127.0.0.1:9411/x");
    }

    #[test]
    fn only_ringcentrals_own_addresses_get_a_token() {
        let production = Server::new(Server::PRODUCTION).expect("valid");
        let trusted = |address: &str| production.trusted("test", address).is_ok();
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
    fn a_simulator_trusts_itself_and_its_media_address_only() {
        let server = Server::new("http://127.0.0.1:9410").expect("valid");
        assert!(server.trusted("test", "http://127.0.0.1:9410/media/1").is_ok());
        assert!(server.trusted("test", "http://127.0.0.1:9411/media/1").is_err());
        assert!(server.trusted("test", "https://media.ringcentral.com/1").is_err());
        let server = server.with_media("http://127.0.0.1:9411").expect("valid");
        assert!(server.trusted("test", "http://127.0.0.1:9411/media/1").is_ok());
    }
}
