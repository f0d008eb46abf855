//! Ports that the box listens on.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
};

use super::finding::{Finding, bad, good};

/// Whether the box can listen. While one is running on the same store, it is most likely that one that does.
pub(super) fn port(key: &str, address: SocketAddr, running: bool) -> Finding {
    let what = format!("{key} {address}");
    let Err(error) = TcpListener::bind(address) else {
        return good(format!("{what} is free"));
    };
    match error.kind() {
        ErrorKind::AddrInUse if running => good(format!("{what} is in use, by the running box most likely")),
        ErrorKind::AddrInUse => bad(
            format!("{what} is in use by another program"),
            format!("`ss -ltnp sport = :{}` says by which; stop it, or set {key} to another port", address.port()),
        ),
        ErrorKind::PermissionDenied => bad(
            format!("{what}: this user may not listen on a port below 1024"),
            format!("set {key} to a higher port, or give the program the capability CAP_NET_BIND_SERVICE"),
        ),
        ErrorKind::AddrNotAvailable => bad(
            format!("{what}: this machine does not have this address"),
            format!("set {key} to 0.0.0.0:{}, or to one of the addresses that `ip addr` lists", address.port()),
        ),
        _ => bad(format!("{what}: {error}"), format!("set {key} to another address")),
    }
}
