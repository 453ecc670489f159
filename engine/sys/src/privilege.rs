//! How a process gives up root.
//!
//! Names are looked up first, while the files that define them can still be read; then, in this order, chroot, the
//! groups, the group, the user. The other way round each step would take away the right to do the next.

use nix::unistd::{Gid, Group, Uid, User};
use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

/// A user as the system's database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserId {
    /// Its number.
    pub uid: u32,
    /// Its login group.
    pub gid: u32,
    /// All its groups, the login group among them.
    pub groups: Vec<u32>,
}

/// Finds a user by name, or by number if there is no such name.
///
/// # Errors
/// `NotFound` if there is none, or what the database reports.
pub fn lookup_user(name: &str) -> io::Result<UserId> {
    let found = match User::from_name(name)? {
        Some(user) => Some(user),
        None => match name.parse() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid))?,
            Err(_) => None,
        },
    };
    let Some(user) = found else { return Err(not_found("user", name)) };
    let login = CString::new(user.name).map_err(|_| not_found("user", name))?;
    let groups = nix::unistd::getgrouplist(&login, user.gid)?;
    Ok(UserId {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.iter().map(|group| group.as_raw()).collect(),
    })
}

/// Finds a group by name, or by number if there is no such name.
///
/// # Errors
/// `NotFound` if there is none, or what the database reports.
pub fn lookup_group(name: &str) -> io::Result<u32> {
    let found = match Group::from_name(name)? {
        Some(group) => Some(group),
        None => match name.parse() {
            Ok(gid) => Group::from_gid(Gid::from_raw(gid))?,
            Err(_) => None,
        },
    };
    found.map(|group| group.gid.as_raw()).ok_or_else(|| not_found("group", name))
}

/// What a process keeps of its rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descent {
    /// The folder that becomes `/`.
    pub root: Option<PathBuf>,
    /// Who it becomes.
    pub user: Option<UserId>,
    /// The group it gets instead of the user's login group; then the user's other groups are not taken over.
    pub group: Option<u32>,
}

impl Descent {
    /// Gives up what is to be given up, for good: it verifies that root cannot be had back.
    ///
    /// # Errors
    /// What failed and why. The caller must end then: the process may be half-way down.
    pub fn apply(&self) -> io::Result<()> {
        let parent = ParentDeath::remember()?;
        if let Some(root) = &self.root {
            enter(root).map_err(|error| about(&error, &format!("chroot to {}", root.display())))?;
        }
        let gid = self.group.or(self.user.as_ref().map(|user| user.gid));
        if let Some(gid) = gid {
            self.take_groups(gid).map_err(|error| about(&error, &format!("change to group {gid}")))?;
        }
        if let Some(user) = &self.user {
            take_user(user.uid).map_err(|error| about(&error, &format!("change to user {}", user.uid)))?;
        }
        parent.arm_again()?;
        forbid_new_privileges()
    }

    fn take_groups(&self, gid: u32) -> io::Result<()> {
        // Without root the groups cannot change, and need not if they are the ones asked for.
        if !Uid::effective().is_root() && nix::unistd::getgid().as_raw() == gid {
            return Ok(());
        }
        let groups: Vec<Gid> = match (&self.group, &self.user) {
            (None, Some(user)) => user.groups.iter().map(|group| Gid::from_raw(*group)).collect(),
            _ => vec![Gid::from_raw(gid)],
        };
        nix::unistd::setgroups(&groups)?;
        let gid = Gid::from_raw(gid);
        Ok(nix::unistd::setresgid(gid, gid, gid)?)
    }
}

/// The signal that this process asked for at its parent's end, which the kernel forgets when the user changes.
struct ParentDeath {
    signal: libc::c_int,
    parent: nix::unistd::Pid,
}

impl ParentDeath {
    fn remember() -> io::Result<ParentDeath> {
        let mut signal: libc::c_int = 0;
        // SAFETY: the pointer is to an int that lives over the call.
        let result = unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
        crate::socket::check(result)?;
        Ok(ParentDeath { signal, parent: nix::unistd::getppid() })
    }

    fn arm_again(&self) -> io::Result<()> {
        if self.signal == 0 {
            return Ok(());
        }
        // SAFETY: no memory is passed.
        crate::socket::check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, self.signal) })?;
        // It may have ended while nothing was armed.
        if nix::unistd::getppid() == self.parent {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    }
}

fn enter(root: &Path) -> io::Result<()> {
    nix::unistd::chroot(root)?;
    // A working directory outside of the new root would be a way out of it.
    Ok(nix::unistd::chdir("/")?)
}

fn take_user(uid: u32) -> io::Result<()> {
    let user = Uid::from_raw(uid);
    if !Uid::effective().is_root()
        && nix::unistd::getresuid()? == (nix::unistd::ResUid { real: user, effective: user, saved: user })
    {
        return Ok(());
    }
    nix::unistd::setresuid(user, user, user)?;
    if uid != 0 && nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("root could be had back"));
    }
    Ok(())
}

/// A program that this process might be tricked into starting gets no more rights than it has.
fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: no memory is passed.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    crate::socket::check(result).map(drop)
}

fn not_found(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no {what} \"{name}\""))
}

fn about(error: &io::Error, doing: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and numbers find the same entry, and what is not there is said by name.
    #[test]
    fn lookups() {
        let root = lookup_user("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(lookup_user("0").unwrap(), root);
        assert_eq!(lookup_group("root").unwrap(), 0);
        assert_eq!(lookup_group("0").unwrap(), 0);
        let error = lookup_user("no-such-user").unwrap_err();
        assert_eq!(error.to_string(), "no user \"no-such-user\"");
        assert!(lookup_group("no-such-group").is_err());
    }
}
