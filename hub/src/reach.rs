//! Which addresses a process may fetch from because a uri, or a server that redirects, says so.
//!
//! Owns the rule. What a uri names itself may be anywhere but where a node or a cloud answers for itself: link-local
//! addresses and those of metadata services, which hand out the node's role to whoever asks. A redirect, which a stranger
//! writes, may besides not lead to this very machine, unless the uri did already. Private addresses stay allowed in both:
//! clusters serve data and mirrors there. Every address that a name resolves to is checked, and only checked ones are
//! connected to, so that a name cannot change its mind in between. Behind a proxy names are resolved by the proxy.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Addresses of metadata services that are not link-local.
const METADATA: [IpAddr; 4] = [
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Azure's WireServer, <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Oracle Cloud.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Google Cloud.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];
/// Names of metadata services: a proxy would resolve them for us.
const METADATA_NAMES: [&str; 4] =
    ["metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];

/// Who says where to fetch from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The uri that somebody wrote into a spec or a variable.
    ByUri,
    /// A server's redirect.
    ByRedirect,
}

/// An address or a name that is not fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    host: String,
    what: &'static str,
    said: Said,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, what, said } = self;
        match said {
            Said::ByUri => write!(out, "{host} is {what}, which nothing is fetched from; name another server"),
            Said::ByRedirect => {
                write!(
                    out,
                    "the server redirects to {host}, {what}, which a redirect may not lead to; name the file itself"
                )
            }
        }
    }
}

impl std::error::Error for Forbidden {}

/// Checks an address that a connection would be made to.
///
/// # Errors
/// When it may not be made.
pub fn check(address: IpAddr, said: Said) -> Result<(), Forbidden> {
    match forbidden(address, said) {
        None => Ok(()),
        Some(what) => Err(Forbidden { host: address.to_string(), what, said }),
    }
}

/// Checks the host of a url as it is written: an address, which is connected to without being resolved, or a name.
///
/// # Errors
/// When no connection may be made to it.
pub fn check_host(host: &str, said: Said) -> Result<(), Forbidden> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return check(address, said);
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    if METADATA_NAMES.contains(&name.as_str()) {
        return Err(Forbidden { host: host.to_owned(), what: "a metadata service", said });
    }
    if said == Said::ByRedirect && (name == "localhost" || name.ends_with(".localhost")) {
        return Err(Forbidden { host: host.to_owned(), what: "this machine itself", said });
    }
    Ok(())
}

/// Those of a name's addresses that may be connected to.
///
/// # Errors
/// When it has addresses and none of them may.
pub fn allowed(addresses: impl IntoIterator<Item = SocketAddr>, said: Said) -> Result<Vec<SocketAddr>, Forbidden> {
    let mut refused = None;
    let keep = |address: &SocketAddr| check(address.ip(), said).map_err(|why| refused = Some(why)).is_ok();
    let kept: Vec<_> = addresses.into_iter().filter(keep).collect();
    match refused {
        Some(why) if kept.is_empty() => Err(why),
        _ => Ok(kept),
    }
}

/// What an address is, where nothing may be fetched from it.
fn forbidden(address: IpAddr, said: Said) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("a metadata service");
    }
    match address {
        IpAddr::V4(address) if address.is_link_local() => Some("a link-local address, as metadata services have"),
        IpAddr::V4(address) if address.octets()[0] == 0 || address.is_broadcast() || address.is_multicast() => {
            Some("no address of a server")
        }
        IpAddr::V4(address) if address.is_loopback() => of_this_machine(said),
        IpAddr::V4(_) => None,
        IpAddr::V6(address) if address.is_loopback() => of_this_machine(said),
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            Some("a link-local address, as metadata services have")
        }
        // fd00:ec2::/32 is Amazon's: metadata, time, credentials of pods.
        IpAddr::V6(address) if address.segments()[..2] == [0xfd00, 0xec2] => Some("a metadata service"),
        IpAddr::V6(address) if address.is_unspecified() || address.is_multicast() => Some("no address of a server"),
        IpAddr::V6(address) => embedded(address).and_then(|inner| forbidden(inner.into(), said)),
    }
}

fn of_this_machine(said: Said) -> Option<&'static str> {
    (said == Said::ByRedirect).then_some("this machine itself")
}

/// The IPv4 address that an IPv6 address stands for: mapped and compatible (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => of(g, h),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

/// Whether a host of a url is this machine as it is written.
pub fn is_this_machine(host: &str) -> bool {
    check_host(host, Said::ByUri).is_ok() && check_host(host, Said::ByRedirect).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_notation() {
        let refused = [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "[fd20:ce::254]",
            "[::]",
            "[ff02::1]",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[2002:a9fe:a9fe::1]",
            "[::ffff:100.100.100.200]",
            "metadata.google.internal",
            "Metadata.Google.Internal.",
        ];
        for host in refused {
            for said in [Said::ByUri, Said::ByRedirect] {
                assert!(check_host(host, said).is_err(), "{host} {said:?}");
            }
        }
    }

    #[test]
    fn this_machine_is_refused_to_redirects_alone() {
        for host in [
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "localhost",
            "a.localhost.",
        ] {
            assert!(check_host(host, Said::ByUri).is_ok(), "{host}");
            assert!(check_host(host, Said::ByRedirect).is_err(), "{host}");
            assert!(is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn everything_else_is_reached() {
        let reached = [
            "10.0.0.7",
            "172.16.3.4",
            "192.168.1.1",
            "100.64.0.1",
            "8.8.8.8",
            "[fd12::1]",
            "[2001:db8::1]",
            "example.org",
        ];
        for host in reached {
            assert!(check_host(host, Said::ByRedirect).is_ok(), "{host}");
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_those_that_may_be_are_left() {
        let addresses = |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = addresses(&["169.254.169.254:80", "10.0.0.7:80"]);
        assert_eq!(allowed(mixed, Said::ByUri).unwrap(), addresses(&["10.0.0.7:80"]));
        let why = allowed(addresses(&["169.254.169.254:80"]), Said::ByUri).unwrap_err().to_string();
        assert!(why.starts_with("169.254.169.254 is a link-local address"), "{why}");
        assert_eq!(allowed(addresses(&[]), Said::ByUri).unwrap(), []);
    }
}
