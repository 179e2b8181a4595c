//! Requests over HTTP that stay away from where nothing is to be fetched.
//!
//! Owns redirects: each is followed here, so that a server can lead neither to a metadata service nor to this machine nor from
//! https to http. The rule is the hub's ([`bedplate_hub::reach`]). Never retries and never judges an answer.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use bedplate_hub::reach::{self, Forbidden, Said};
use bedplate_telemetry::chain::Chain;
use reqwest::{
    Client, ClientBuilder, Method, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{LOCATION, RANGE},
    redirect::Policy,
};

/// Redirects of one request: enough for any store, few enough for a circle to be noticed.
const MAX_REDIRECTS: usize = 10;
/// A server that sends nothing, or takes no connection, for this long is gone.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// It may come later.
    Again(String),
    /// It never will.
    Lasting(String),
}

/// Clients for what a uri names and for what a redirect leads to.
#[derive(Clone, Debug)]
pub(super) struct Http {
    direct: Client,
    redirected: Client,
}

impl Http {
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        Ok(Self { direct: builder(Said::ByUri).build()?, redirected: builder(Said::ByRedirect).build()? })
    }

    /// The answer to a request for `url` from byte `offset` on, whatever its status.
    pub(super) async fn send(&self, method: Method, url: &Url, offset: u64) -> Result<Response, Failed> {
        let mut place = url.clone();
        let mut said = Said::ByUri;
        for _ in 0..=MAX_REDIRECTS {
            reach::check_host(place.host_str().unwrap_or_default(), said).map_err(forbidden)?;
            let client = if said == Said::ByUri { &self.direct } else { &self.redirected };
            let mut request = client.request(method.clone(), place.clone());
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            let response = request.send().await.map_err(failed)?;
            let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
            let Some(location) = location else { return Ok(response) };
            let next = location.to_str().ok().and_then(|location| place.join(location).ok());
            place = judge(&place, next)?;
            if said == Said::ByUri && !is_here(url).await {
                said = Said::ByRedirect;
            }
        }
        Err(Failed::Lasting(format!("it redirects more than {MAX_REDIRECTS} times; check the address")))
    }
}

/// A client that connects to allowed addresses alone and follows no redirect.
pub(super) fn builder(said: Said) -> ClientBuilder {
    Client::builder()
        .read_timeout(READ_TIMEOUT)
        .connect_timeout(READ_TIMEOUT)
        .redirect(Policy::none())
        .referer(false)
        .dns_resolver(Arc::new(Guard(said)))
}

fn judge(from: &Url, to: Option<Url>) -> Result<Url, Failed> {
    let to = to.ok_or_else(|| Failed::Lasting("it redirects to what is no address".to_owned()))?;
    match (from.scheme(), to.scheme()) {
        ("https", "http") => Err(Failed::Lasting(format!(
            "it redirects from https to http://{}, which nobody protects; name the file itself",
            to.host_str().unwrap_or_default()
        ))),
        (_, "http" | "https") => Ok(to),
        (_, scheme) => Err(Failed::Lasting(format!("it redirects to an address that begins with {scheme}:"))),
    }
}

/// Whether what the user named is on this machine: then its redirects may be too.
async fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    if reach::is_this_machine(host) {
        return true;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, url.port_or_known_default().unwrap_or_default())).await;
    found.is_ok_and(|mut all| all.any(|address| address.ip().is_loopback()))
}

fn forbidden(why: Forbidden) -> Failed {
    Failed::Lasting(why.to_string())
}

fn failed(error: reqwest::Error) -> Failed {
    match forbidden_in(&error) {
        Some(why) => Failed::Lasting(why.to_string()),
        None => Failed::Again(describe(error)),
    }
}

/// The refusal that made a request fail, if one did.
pub(super) fn forbidden_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Forbidden> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|error| error.downcast_ref())
}

/// reqwest keeps the reason in the sources, and names the whole address, which may be signed.
pub(super) fn describe(error: reqwest::Error) -> String {
    Chain(&error.without_url()).to_string()
}

/// Resolves names, and leaves out what may not be connected to.
struct Guard(Said);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let said = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let kept = reach::allowed(found, said)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_judged_by_the_address_that_is_connected_to() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let error = builder(Said::ByRedirect).build().unwrap().get(&url).send().await.unwrap_err();
        assert!(forbidden_in(&error).is_some(), "{error:?}");
        assert!(matches!(failed(error), Failed::Lasting(why) if why.contains("this machine itself")));
    }

    #[test]
    fn a_redirect_stays_with_https_and_with_the_web() {
        let judged = |from: &str, to: &str| {
            let from = Url::parse(from).unwrap();
            let to = from.join(to).ok();
            judge(&from, to).map(|url| url.to_string())
        };
        assert_eq!(judged("https://host/a/b", "../c?d").unwrap(), "https://host/c?d");
        assert_eq!(judged("http://host/a", "https://other/b").unwrap(), "https://other/b");
        for (from, to) in
            [("https://host/a", "http://host/a"), ("http://host/a", "file:///etc/passwd"), ("http://host", "ftp://x")]
        {
            assert!(matches!(judged(from, to), Err(Failed::Lasting(_))), "{from} {to}");
        }
        let Err(Failed::Lasting(why)) = judged("https://host/a", "http://other/b?sig=1") else { panic!() };
        assert!(!why.contains("sig"), "{why}");
    }
}
