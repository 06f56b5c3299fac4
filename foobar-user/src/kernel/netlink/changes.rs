//! Word of changes to interfaces and addresses, as they happen.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use netlink_sys::{Socket, SocketAddr};
use tokio::io::unix::AsyncFd;

use crate::kernel::error::KernelError;

/// linux/rtnetlink.h: groups of messages, as bits.
const GROUPS: u32 =
    (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR) as u32;

/// Becomes readable when an interface or an address of this network namespace comes, goes or changes.
pub struct Changes(Socket);

impl Changes {
    /// Starts to listen.
    ///
    /// # Errors
    /// If the kernel does not let us.
    pub fn open() -> Result<Self, KernelError> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(libc::NETLINK_ROUTE as isize)?;
            socket.bind(&SocketAddr::new(0, GROUPS))?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        open().map(Changes).map_err(|error| {
            KernelError::call(
                "cannot listen to changes of interfaces and addresses (rtnetlink)",
                error,
            )
        })
    }

    /// Takes all messages off and says whether there were any. What changed is asked of the kernel afresh: messages that did not
    /// fit into the socket are lost, the fact that there were some is not.
    pub fn drain(&mut self) -> bool {
        let mut any = false;
        let mut buffer = Vec::with_capacity(16 * 1024);
        loop {
            buffer.clear();
            match self.0.recv(&mut buffer, 0) {
                Ok(_) => any = true,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return any,
            }
        }
    }
}

/// [`Changes`] for a task that waits.
pub struct ChangeStream(AsyncFd<Changes>);

impl ChangeStream {
    /// Starts to listen. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the kernel does not let us.
    pub fn open() -> Result<Self, KernelError> {
        let changes = Changes::open()?;
        // SAFETY: the socket owns its descriptor, and nothing exchanges or closes it before the stream is dropped.
        let registered = unsafe { AsyncFd::register(changes) };
        registered.map(ChangeStream).map_err(|error| {
            KernelError::call(
                "cannot wait for changes of interfaces and addresses",
                io::Error::other(error),
            )
        })
    }

    /// Waits until something changed since the last call.
    pub async fn changed(&mut self) {
        loop {
            let Ok(mut ready) = self.0.readable_mut().await else {
                // The runtime is going down, and with it whoever waits here.
                return std::future::pending().await;
            };
            let came = ready.get_inner_mut().drain();
            ready.clear_ready();
            if came {
                return;
            }
        }
    }

    /// Forgets what changed until now.
    pub fn drain(&mut self) {
        self.0.get_mut().drain();
    }
}

impl AsRawFd for Changes {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
