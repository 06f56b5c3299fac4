//! Connections of our own to this server's ports.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

use foobar_common::observe::OWN_SOURCE;
use tokio::net::{TcpSocket, TcpStream};

/// Connects from [`OWN_SOURCE`], by which the kernel programs leave the connection out of their counts. IPv6 has no loopback address
/// to spare: such a connection is counted, and only servers that listen on IPv6 alone are asked that way.
///
/// # Errors
/// Those of connect(2).
pub async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    if server.is_ipv6() {
        return TcpStream::connect(server).await;
    }
    let socket = TcpSocket::new_v4()?;
    // Where there is no loopback interface, the kernel's choice of a source is as good.
    let _ = socket.bind(SocketAddrV4::new(Ipv4Addr::from(OWN_SOURCE), 0).into());
    socket.connect(server).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_of_our_own_can_be_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_stream, accepted) =
            tokio::join!(connect(listener.local_addr().unwrap()), listener.accept());
        assert_eq!(accepted.unwrap().1.ip(), Ipv4Addr::from(OWN_SOURCE));
    }
}
