//! Word to the service manager: ready, alive, stopping (sd_notify(3)). Without one it goes nowhere.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use tracing::warn;

/// The variable with the socket of the service manager.
const SOCKET: &str = "NOTIFY_SOCKET";
/// The variable with the time in which it wants a sign of life, in microseconds.
const WATCHDOG: &str = "WATCHDOG_USEC";

/// Tells the service manager something, such as `READY=1`.
pub fn tell(message: &str) {
    let Some(name) = env::var_os(SOCKET) else { return };
    if let Err(error) = address(name.as_bytes()).and_then(|to| send(&to, message)) {
        warn!("cannot tell the service manager {message:?} at {}: {error}", name.display());
    }
}

/// How often a sign of life is due: twice in the time that the service manager waits for one.
pub fn interval() -> Option<Duration> {
    let microseconds: u64 = env::var(WATCHDOG).ok()?.parse().ok()?;
    Some(Duration::from_micros(microseconds / 2))
}

/// A path, or behind `@` a name in the abstract namespace (unix(7)).
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    match name {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
    }
}

fn send(to: &SocketAddr, message: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let hidden = format!("@foobar-test-{}", std::process::id());
        for name in [path.to_str().unwrap(), hidden.as_str()] {
            let to = address(name.as_bytes()).unwrap();
            let manager = UnixDatagram::bind_addr(&to).unwrap();
            send(&to, "READY=1").unwrap();
            let mut message = [0; 32];
            let length = manager.recv(&mut message).unwrap();
            assert_eq!(&message[..length], b"READY=1");
        }
    }
}
