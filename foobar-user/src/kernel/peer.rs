//! Groups of the process at the other end of a unix socket.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

/// Supplementary groups at the time of connect(2): `SO_PEERGROUPS` (Linux 4.13, net/core/sock.c). The process may have changed or
/// ended since; /proc would tell of whoever has its number now.
///
/// # Errors
/// Those of getsockopt(2).
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0u32; 32];
    loop {
        let bytes = size_of_val(&groups[..]);
        let mut length = libc::socklen_t::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the buffer is writable for `length` bytes, and `length` is a valid place for the answer's.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let needed = usize::try_from(length).map_err(io::Error::other)? / size_of::<u32>();
        if result == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // ERANGE comes with the length that is needed.
        if error.raw_os_error() != Some(libc::ERANGE) || needed <= groups.len() {
            return Err(error);
        }
        groups.resize(needed, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_groups_of_this_process_are_told() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut told = peer_groups(&one).unwrap();
        let mut own: Vec<_> =
            nix::unistd::getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
        told.sort_unstable();
        own.sort_unstable();
        assert_eq!(told, own);
    }
}
