//! Who may use the control API: root, the user that runs the daemon, and the members of one group (`[control] group`).

use nix::unistd::Group;

use super::{Peer, Refusal};

/// Who may use the control API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The group, by name and number.
    group: Option<(String, u32)>,
}

impl Access {
    /// Root, the daemon's own user, and this group if there is one.
    ///
    /// # Errors
    /// There is no group of that name.
    pub fn of(group: Option<&str>) -> Result<Self, Refusal> {
        let Some(name) = group else { return Ok(Self::default()) };
        let refusal = |why: String| {
            Refusal::failed(format!("the group {name:?} of [control] cannot be used: {why}")).help(
                format!("make it: groupadd --system {name}; or leave `group` out, then only root may control this daemon"),
            )
        };
        match Group::from_name(name) {
            Ok(Some(group)) => Ok(Self { group: Some((name.to_owned(), group.gid.as_raw())) }),
            Ok(None) => Err(refusal("this host has no such group".to_owned())),
            Err(error) => Err(refusal(error.to_string())),
        }
    }

    /// Number of the group.
    pub fn gid(&self) -> Option<u32> {
        self.group.as_ref().map(|(_, gid)| *gid)
    }

    /// Whether this process may ask for anything.
    pub fn allows(&self, peer: &Peer) -> bool {
        peer.uid == 0
            || peer.uid == nix::unistd::geteuid().as_raw()
            || self.gid().is_some_and(|gid| peer.gids.contains(&gid))
    }

    /// Who may, in words.
    pub fn words(&self) -> String {
        match &self.group {
            None => "root or the user that runs the daemon".to_owned(),
            Some((name, _)) => format!("root or a member of the group {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gids: &[u32]) -> Peer {
        Peer { uid, gids: gids.to_vec(), pid: 1, comm: "test".into() }
    }

    #[test]
    fn members_may_and_others_may_not() {
        let access = Access { group: Some(("admins".into(), 900)) };
        assert!(access.allows(&peer(0, &[0])));
        assert!(access.allows(&peer(1234, &[900])) && access.allows(&peer(1234, &[7, 900, 8])));
        assert!(!access.allows(&peer(1234, &[7, 8])) && !access.allows(&peer(900, &[])));
        assert!(!Access::default().allows(&peer(1234, &[900])));
    }

    #[test]
    fn an_unknown_group_is_named_with_the_remedy() {
        assert_eq!(Access::of(None).unwrap(), Access::default());
        assert_eq!(Access::of(Some("root")).unwrap().gid(), Some(0));
        let refused = Access::of(Some("no-such-group")).unwrap_err();
        assert!(refused.error.contains("\"no-such-group\""), "{refused}");
        assert!(refused.help.unwrap().contains("groupadd --system no-such-group"));
    }
}
