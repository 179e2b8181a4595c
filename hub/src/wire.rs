//! Requests to the hub, its mirrors, and where they redirect to.
//!
//! Owns redirects: each is followed here, so that the token goes to the hub alone, what every server on the way says of a file
//! is kept, and no address is connected to that [`crate::reach`] forbids. Never retries and never writes a file.

use std::{net::ToSocketAddrs, time::Duration};

use ureq::{
    Agent, Body,
    config::Config,
    http::{
        HeaderMap, HeaderName, Response, StatusCode, Uri,
        header::{ACCEPT_ENCODING, AUTHORIZATION, LOCATION, RANGE},
    },
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};
use url::Url;

use crate::{
    Options,
    reach::{self, Forbidden, Said},
};

/// The hub that is asked where nobody names another.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// Redirects of one request: the hub takes one or two, a mirror before it as many again.
const MAX_REDIRECTS: usize = 10;
/// A server that takes no connection for this long is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that sends nothing for this long is gone.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a request had no answer that helps.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The endpoint, or where it redirects to, is no url.
    #[error("{what} is no http(s) address: {reason}")]
    Address {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It may not be fetched from.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// A redirect leads from https to http.
    #[error("{from} redirects to http://{to}, which nobody protects; use a mirror that stays with https")]
    Downgrade {
        /// Host that redirects.
        from: String,
        /// Where to.
        to: String,
    },
    /// Redirects without an end.
    #[error("{host} redirects more than {MAX_REDIRECTS} times")]
    Redirects {
        /// Host of the last one.
        host: String,
    },
    /// The server refuses.
    #[error("{host} answers {status}")]
    Status {
        /// The server.
        host: String,
        /// What it answers.
        status: StatusCode,
    },
    /// No answer came.
    #[error("no answer from {host}")]
    Silent {
        /// The server.
        host: String,
        /// What happened.
        source: Box<ureq::Error>,
    },
    /// An answer broke off, or is not what was asked for.
    #[error("{0}")]
    Broken(String),
}

impl WireError {
    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Broken(_) => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            }
            Self::Address { .. } | Self::Forbidden(_) | Self::Downgrade { .. } | Self::Redirects { .. } => false,
        }
    }

    /// Whether it leads to where nothing is fetched from.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::Forbidden(_) | Self::Downgrade { .. })
    }
}

/// The last answer of a request, and what was said on the way to it.
pub struct Reply {
    /// Status 2xx or 416.
    pub response: Response<Body>,
    /// Host that gave it.
    pub host: String,
    /// Headers of the redirects that led to it, in order.
    hops: Vec<HeaderMap>,
}

impl Reply {
    /// A header of the last answer.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// A header of whoever was the first to send it: the hub describes a file, and the store behind it another thing.
    pub fn first_header(&self, name: &str) -> Option<&str> {
        self.answers().find_map(|headers| headers.get(name)?.to_str().ok())
    }

    /// The headers of all answers, in order.
    pub fn answers(&self) -> impl Iterator<Item = &HeaderMap> {
        self.hops.iter().chain([self.response.headers()])
    }
}

/// A hub.
pub struct Wire {
    endpoint: Url,
    token: Option<String>,
    direct: Agent,
    redirected: Agent,
}

impl Wire {
    /// The hub of these options.
    ///
    /// # Errors
    /// When its endpoint is no address.
    pub fn new(options: &Options) -> Result<Self, WireError> {
        let endpoint = options.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
        let endpoint = parse("the hub's endpoint", &format!("{}/", endpoint.trim_end_matches('/')))?;
        let token = options.token.clone().filter(|token| !token.is_empty());
        Ok(Self { endpoint, token, direct: agent(Said::ByUri), redirected: agent(Said::ByRedirect) })
    }

    /// Asks for a path below the endpoint, from byte `offset` on.
    ///
    /// # Errors
    /// When there is no answer, or one that is neither 2xx nor "no such range".
    pub fn get(&self, path: &str, offset: u64) -> Result<Reply, WireError> {
        let join = |error: url::ParseError| WireError::Address { what: "the path", reason: error.to_string() };
        let mut url = self.endpoint.join(path).map_err(join)?;
        let mut hops = Vec::new();
        let mut said = Said::ByUri;
        loop {
            let host = host_of(&url);
            reach::check_host(&host, said)?;
            let response = self.send(&url, &host, said, offset)?;
            let status = response.status();
            let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
            let Some(location) = location else {
                let is_answer = status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE;
                return if is_answer {
                    Ok(Reply { response, host, hops })
                } else {
                    Err(WireError::Status { host, status })
                };
            };
            let location = location.to_str().ok().and_then(|location| url.join(location).ok());
            let next = location.ok_or_else(|| WireError::Broken(format!("{host} redirects to what is no address")))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(WireError::Downgrade { from: host, to: host_of(&next) });
            }
            if hops.len() == MAX_REDIRECTS {
                return Err(WireError::Redirects { host });
            }
            if said == Said::ByUri && !is_here(&self.endpoint) {
                said = Said::ByRedirect;
            }
            hops.push(response.into_parts().0.headers);
            url = parse("where the hub redirects to", next.as_str())?;
        }
    }

    fn send(&self, url: &Url, host: &str, said: Said, offset: u64) -> Result<Response<Body>, WireError> {
        let agent = if said == Said::ByUri { &self.direct } else { &self.redirected };
        // A store may describe and count a compressed body, and its part is no part of the file.
        let mut request = agent.get(url.as_str()).header(ACCEPT_ENCODING, "identity");
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| url.origin() == self.endpoint.origin()) {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request.call().map_err(|error| match error {
            ureq::Error::Other(other) => match other.downcast::<Forbidden>() {
                Ok(forbidden) => WireError::Forbidden(*forbidden),
                Err(other) => WireError::Silent { host: host.to_owned(), source: Box::new(ureq::Error::Other(other)) },
            },
            error => WireError::Silent { host: host.to_owned(), source: Box::new(error) },
        })
    }
}

fn parse(what: &'static str, text: &str) -> Result<Url, WireError> {
    let wrong = |reason: String| WireError::Address { what, reason };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(wrong(format!("it begins with {scheme}:"))),
    }
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// Whether what the user named is on this machine: then its redirects may be too.
fn is_here(url: &Url) -> bool {
    let host = host_of(url);
    let resolved = || {
        let port = url.port_or_known_default().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        (bare, port).to_socket_addrs().is_ok_and(|mut all| all.any(|address| address.ip().is_loopback()))
    };
    reach::is_this_machine(&host) || resolved()
}

fn agent(said: Said) -> Agent {
    let config = Agent::config_builder()
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(READ_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .user_agent(concat!("bedplate/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(config, DefaultConnector::default(), Guard { said, inner: DefaultResolver::default() })
}

/// Resolves names, and leaves out what may not be connected to.
#[derive(Debug)]
struct Guard {
    said: Said,
    inner: DefaultResolver,
}

impl Resolver for Guard {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        // The proxy is the administrator's choice, and may well be on this machine.
        if config.proxy().is_some_and(|proxy| uri.host() == Some(proxy.host())) {
            return Ok(found);
        }
        let kept = reach::allowed(found.iter().copied(), self.said).map_err(|why| ureq::Error::Other(Box::new(why)))?;
        let mut addresses = self.empty();
        kept.into_iter().for_each(|address| addresses.push(address));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener};

    use super::*;

    #[test]
    fn a_name_is_judged_by_the_address_that_is_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        let url = format!("http://localhost:{port}/");
        assert!(agent(Said::ByUri).get(&url).call().is_ok());
        let error = agent(Said::ByRedirect).get(&url).call().unwrap_err();
        assert!(error.to_string().contains("this machine itself"), "{error}");
    }

    #[test]
    fn an_endpoint_is_http_and_may_lie_below_a_path() {
        let options =
            |endpoint: &str| Options { cache_dir: "/".into(), endpoint: Some(endpoint.to_owned()), token: None };
        let wire = Wire::new(&options("https://host/api/hub//")).unwrap();
        assert_eq!(
            wire.endpoint.join("owner/name/resolve/main/a").unwrap().path(),
            "/api/hub/owner/name/resolve/main/a"
        );
        for wrong in ["host", "ftp://host", "https://"] {
            assert!(matches!(Wire::new(&options(wrong)), Err(WireError::Address { .. })), "{wrong}");
        }
        let forbidden = Wire::new(&options("http://169.254.169.254")).unwrap().get("latest", 0);
        assert!(matches!(forbidden, Err(WireError::Forbidden(_))));
    }
}
