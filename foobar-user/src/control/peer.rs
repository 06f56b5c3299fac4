//! Who asks: the credentials that the kernel attaches to a connection on a unix socket (`SO_PEERCRED` and, for supplementary
//! groups, `SO_PEERGROUPS`; unix(7)).

use std::{fmt, fs, io};

use nix::unistd::{Uid, User};
use tokio::net::UnixStream;

use crate::kernel;

/// The process at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Effective user id when it connected.
    pub uid: u32,
    /// Effective group id and supplementary groups, then as well.
    pub gids: Vec<u32>,
    /// Process id, where the kernel tells (0 if it lives in another process namespace).
    pub pid: i32,
    /// Name of the process (`/proc/PID/comm`), for the log: it is not proof of anything.
    pub comm: String,
}

impl Peer {
    /// Asks the kernel who is connected.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let pid = credentials.pid().unwrap_or(0);
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // A process names itself, so only what cannot break a log line stays.
        let comm = comm.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let mut gids = kernel::peer_groups(stream)?;
        gids.push(credentials.gid());
        Ok(Self { uid: credentials.uid(), gids, pid, comm })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uid = self.uid;
        match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => write!(f, "{} (uid {uid}", user.name)?,
            _ => write!(f, "a user without a name (uid {uid}")?,
        }
        let comm = if self.comm.is_empty() { "a process that is gone" } else { &self.comm };
        write!(f, ", pid {}, {comm})", self.pid)
    }
}
