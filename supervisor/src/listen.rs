//! The listening sockets: bound once, kept for the life of the supervisor, handed to whoever serves.
//!
//! An IP address has one `SO_REUSEPORT` socket for each worker; a UNIX socket and one received from another process are
//! shared. A worker that dies leaves its queue in the kernel, and its successor accepts from it. What must hold:
//!
//! - staging a new configuration binds what is missing and takes nothing away; what fails leaves everything as it was;
//! - a place that both configurations name keeps its sockets; a socket once made for a place is closed only with it,
//!   since the kernel hashes clients to it: with fewer workers the sockets are dealt out modulo;
//! - a place that is gone is closed here when the new generation serves. The draining workers still hold it and serve
//!   what was queued.
//!
//! One hole is left on purpose. Sockets added to an address that is served already take their share of its clients
//! from the moment they listen; if that reload fails afterwards, clients in the queues of the added sockets are reset.

use ounce_conf::model::{Control, Listen};
use ounce_sys::socket::{Address, BACKLOG, bind_listening, local_address};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the process behind `SocketFrom` may take to send its socket.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an address that is in use is tried at a start, and the pause between.
const TRIES: (u32, Duration) = (20, Duration::from_millis(50));

/// What sockets are made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Clients come in at an IP address.
    Inet(SocketAddr),
    /// Clients come in at a UNIX socket.
    Unix(PathBuf),
    /// The socket comes from another process.
    Received(PathBuf),
    /// The control socket.
    Control(PathBuf),
}

impl Place {
    /// The place of a listener; relative paths are below `folder`.
    pub(crate) fn of(listen: &Listen, folder: &Path) -> Place {
        match listen {
            Listen::Inet(address) => Place::Inet(*address),
            Listen::Unix(path) => Place::Unix(folder.join(path)),
            Listen::Received(path) => Place::Received(folder.join(path)),
        }
    }

    /// The place of the control socket.
    pub(crate) fn of_control(control: &Control, folder: &Path) -> Place {
        Place::Control(folder.join(&control.path))
    }

    fn sockets(&self, workers: u16) -> usize {
        if matches!(self, Place::Inet(_)) { usize::from(workers.max(1)) } else { 1 }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Inet(address) => address.fmt(out),
            Place::Unix(path) | Place::Control(path) => path.display().fmt(out),
            Place::Received(path) => write!(out, "the socket from {}", path.display()),
        }
    }
}

/// The sockets of one place.
#[derive(Debug)]
struct Bound {
    place: Place,
    sockets: Vec<OwnedFd>,
    file: Option<SocketFile>,
}

/// A file that binding made; it is removed with its socket unless it has become something else.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// All sockets that are held.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    bound: Vec<Bound>,
    started: bool,
}

/// What was bound for a configuration that does not serve yet.
#[derive(Debug)]
pub(crate) struct Staged {
    wanted: Vec<Place>,
    before: Vec<usize>,
}

impl Bindings {
    /// The sockets that an earlier program has left.
    pub(crate) fn adopt(held: Vec<(Place, Vec<OwnedFd>)>) -> Bindings {
        let bound = held.into_iter().map(|(place, sockets)| {
            let file = match &place {
                Place::Unix(path) | Place::Control(path) => SocketFile::made(path).ok(),
                Place::Inet(_) | Place::Received(_) => None,
            };
            Bound { place, sockets, file }
        });
        Bindings { bound: bound.collect(), started: true }
    }

    /// All sockets, to be left to the next program.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&Place, &[OwnedFd])> {
        self.bound.iter().map(|bound| (&bound.place, &bound.sockets[..]))
    }

    /// Binds what these places lack for so many workers.
    ///
    /// # Errors
    /// Which place could not be bound and why; then nothing has changed.
    pub(crate) fn stage(&mut self, wanted: Vec<Place>, workers: u16) -> Result<Staged, String> {
        for (at, place) in wanted.iter().enumerate() {
            if wanted[..at].contains(place) {
                return Err(format!("{place} is listened on twice"));
            }
        }
        for place in &wanted {
            self.refuse_foreign(place).map_err(|error| format!("cannot listen on {place}: {error}"))?;
        }
        let before = self.bound.iter().map(|bound| bound.sockets.len()).collect();
        let staged = Staged { wanted, before };
        for place in &staged.wanted {
            if let Err(error) = self.fill(place, workers) {
                let error = format!("cannot listen on {place}: {error}");
                self.roll_back(staged);
                return Err(error);
            }
        }
        Ok(staged)
    }

    /// The staged configuration serves: closes what it does not name.
    pub(crate) fn commit(&mut self, staged: &Staged) {
        self.started = true;
        self.bound.retain(|bound| staged.wanted.contains(&bound.place));
    }

    /// The staged configuration has failed: closes what was bound for it.
    #[expect(clippy::needless_pass_by_value, reason = "a staging ends here")]
    pub(crate) fn roll_back(&mut self, staged: Staged) {
        self.bound.truncate(staged.before.len());
        for (bound, sockets) in self.bound.iter_mut().zip(&staged.before) {
            bound.sockets.truncate(*sockets);
        }
    }

    /// Closes all sockets on which clients come in: workers that drain serve what is queued.
    pub(crate) fn close_listeners(&mut self) {
        self.bound.retain(|bound| matches!(bound.place, Place::Control(_)));
    }

    /// The descriptors of a place that fall to one worker of so many.
    pub(crate) fn deal(&self, place: &Place, position: u16, workers: u16) -> Vec<RawFd> {
        let Some(bound) = self.find(place) else { return Vec::new() };
        if !matches!(place, Place::Inet(_)) {
            return bound.sockets.iter().map(AsRawFd::as_raw_fd).collect();
        }
        let step = usize::from(workers.max(1));
        bound.sockets.iter().skip(usize::from(position)).step_by(step).map(AsRawFd::as_raw_fd).collect()
    }

    fn find(&self, place: &Place) -> Option<&Bound> {
        self.bound.iter().find(|bound| bound.place == *place)
    }

    /// `SO_REUSEPORT` would let a second program of the same user share an address unnoticed: binding it without that
    /// option first shows whether somebody listens there.
    fn refuse_foreign(&self, place: &Place) -> io::Result<()> {
        let Place::Inet(address) = place else { return Ok(()) };
        // Our own sockets would be in the way, on this address or on the wildcard of its port.
        let ours = |bound: &Bound| matches!(bound.place, Place::Inet(held) if held.port() == address.port());
        if self.bound.iter().any(ours) {
            return Ok(());
        }
        let mut tries = if self.started { 1 } else { TRIES.0 };
        loop {
            tries -= 1;
            match bind_listening(&Address::Inet(*address), false, 1) {
                // The kernel closes the sockets of a predecessor that was killed when it gets round to clearing up its
                // rings, a moment after the process is gone.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {
                    std::thread::sleep(TRIES.1);
                }
                outcome => return outcome.map(drop),
            }
        }
    }

    fn fill(&mut self, place: &Place, workers: u16) -> io::Result<()> {
        let at = match self.bound.iter().position(|bound| bound.place == *place) {
            Some(at) => at,
            None => {
                self.bound.push(Bound { place: place.clone(), sockets: Vec::new(), file: None });
                self.bound.len() - 1
            }
        };
        let bound = &mut self.bound[at];
        while bound.sockets.len() < place.sockets(workers) {
            let socket = match place {
                Place::Inet(address) => {
                    // With port 0 the first socket finds the port and the others share it.
                    let address = match bound.sockets.first() {
                        Some(first) => local_address(first.as_raw_fd())?,
                        None => Address::Inet(*address),
                    };
                    bind_listening(&address, true, BACKLOG)?
                }
                Place::Unix(path) | Place::Control(path) => {
                    let socket = bind_listening(&Address::Unix(path.clone()), false, BACKLOG)?;
                    bound.file = Some(SocketFile::made(path)?);
                    socket
                }
                Place::Received(path) => ounce_sys::fdpass::fetch_listener(path, RECEIVE_TIMEOUT)?,
            };
            bound.sockets.push(socket);
        }
        Ok(())
    }
}

impl SocketFile {
    fn made(path: &Path) -> io::Result<SocketFile> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours {
            // A file that cannot be removed is in nobody's way: the next start replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Sets the mode of the control socket and gives it away if that was asked for.
///
/// # Errors
/// What could not be done.
pub(crate) fn open_control(
    control: &Control,
    folder: &Path,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<(), String> {
    let path = folder.join(&control.path);
    let set = || {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(control.mode & 0o7777))?;
        if control.change_owner { std::os::unix::fs::chown(&path, uid, gid) } else { Ok(()) }
    };
    set().map_err(|error: io::Error| format!("control socket {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    fn any_port() -> Place {
        Place::Inet("127.0.0.1:0".parse().unwrap())
    }

    fn addresses(bindings: &Bindings, place: &Place, workers: u16) -> Vec<Vec<Address>> {
        let of = |fds: Vec<RawFd>| fds.into_iter().map(|fd| local_address(fd).unwrap()).collect();
        (0..workers).map(|position| of(bindings.deal(place, position, workers))).collect()
    }

    #[test]
    fn each_worker_has_a_socket_of_its_own_on_the_same_address() {
        let mut bindings = Bindings::default();
        bindings.stage(vec![any_port()], 3).unwrap();
        let dealt = addresses(&bindings, &any_port(), 3);
        assert!(dealt.iter().all(|of_worker| of_worker.len() == 1));
        assert!(dealt.iter().flatten().all(|address| *address == dealt[0][0]));
    }

    #[test]
    fn with_fewer_workers_no_socket_is_closed_and_with_more_some_are_added() {
        let mut bindings = Bindings::default();
        let staged = bindings.stage(vec![any_port()], 3).unwrap();
        bindings.commit(&staged);
        let staged = bindings.stage(vec![any_port()], 2).unwrap();
        bindings.commit(&staged);
        let dealt: Vec<usize> = (0..2).map(|at| bindings.deal(&any_port(), at, 2).len()).collect();
        assert_eq!(dealt, [2, 1]);
        let held = bindings.deal(&any_port(), 0, 1);
        let staged = bindings.stage(vec![any_port()], 5).unwrap();
        bindings.commit(&staged);
        let grown = bindings.deal(&any_port(), 0, 1);
        assert_eq!(grown.len(), 5);
        assert_eq!(grown[..3], held[..], "the old sockets stay");
    }

    #[test]
    fn a_failed_staging_leaves_everything_as_it_was() {
        let mut bindings = Bindings::default();
        let staged = bindings.stage(vec![any_port()], 2).unwrap();
        bindings.commit(&staged);
        let held = bindings.deal(&any_port(), 0, 1);
        let missing = Place::Unix("/nonexistent/folder/socket".into());
        let error = bindings.stage(vec![any_port(), missing], 4).unwrap_err();
        assert!(error.starts_with("cannot listen on /nonexistent/folder/socket: "), "{error}");
        assert_eq!(bindings.deal(&any_port(), 0, 1), held);
        let staged = bindings.stage(vec![any_port()], 4).unwrap();
        bindings.roll_back(staged);
        assert_eq!(bindings.deal(&any_port(), 0, 1), held);
    }

    #[test]
    fn a_place_that_is_gone_is_closed_on_commit() {
        let mut bindings = Bindings::default();
        let staged = bindings.stage(vec![any_port()], 1).unwrap();
        bindings.commit(&staged);
        let Address::Inet(address) = local_address(bindings.deal(&any_port(), 0, 1)[0]).unwrap() else {
            panic!("not an IP address")
        };
        let staged = bindings.stage(Vec::new(), 1).unwrap();
        TcpStream::connect(address).unwrap();
        bindings.commit(&staged);
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn an_address_that_somebody_listens_on_is_refused_though_he_would_share_it() {
        let theirs = bind_listening(&Address::Inet("127.0.0.1:0".parse().unwrap()), true, 1).unwrap();
        let Address::Inet(address) = local_address(theirs.as_raw_fd()).unwrap() else {
            panic!("not an IP address")
        };
        // Not at a start, where it would be tried for a while.
        let mut bindings = Bindings { started: true, ..Bindings::default() };
        let error = bindings.stage(vec![Place::Inet(address)], 2).unwrap_err();
        assert!(error.contains("in use"), "{error}");
    }

    #[test]
    fn the_same_place_twice_is_refused() {
        let error = Bindings::default().stage(vec![any_port(), any_port()], 1).unwrap_err();
        assert_eq!(error, "127.0.0.1:0 is listened on twice");
    }

    #[test]
    fn unix_sockets_are_shared_and_their_files_go_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let place = Place::Unix(path.clone());
        let mut bindings = Bindings::default();
        let staged = bindings.stage(vec![place.clone()], 3).unwrap();
        bindings.commit(&staged);
        assert_eq!(bindings.deal(&place, 0, 3), bindings.deal(&place, 2, 3));
        UnixStream::connect(&path).unwrap();
        bindings.close_listeners();
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_file_is_replaced_and_a_live_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let place = Place::Unix(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let mut bindings = Bindings::default();
        bindings.stage(vec![place.clone()], 1).unwrap();
        assert!(Bindings::default().stage(vec![place], 1).is_err());
        assert!(path.exists());
    }

    #[test]
    fn the_control_socket_gets_its_mode_and_outlives_the_listeners() {
        let folder = tempfile::tempdir().unwrap();
        let control = Control { path: "control".into(), mode: 0o640, change_owner: false, position: 0 };
        let place = Place::of_control(&control, folder.path());
        let mut bindings = Bindings::default();
        bindings.stage(vec![place.clone()], 1).unwrap();
        open_control(&control, folder.path(), None, None).unwrap();
        bindings.close_listeners();
        let found = std::fs::metadata(folder.path().join("control")).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o640);
        assert_eq!(bindings.deal(&place, 0, 1).len(), 1);
    }

    #[test]
    fn a_received_socket_comes_once_and_is_shared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("giver");
        let giver = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let given = bind_listening(&Address::Inet("127.0.0.1:0".parse().unwrap()), false, 1).unwrap();
        let wanted = local_address(given.as_raw_fd()).unwrap();
        let thread = std::thread::spawn(move || {
            use std::os::fd::AsFd;
            let (stream, _) = giver.accept().unwrap();
            ounce_sys::fdpass::send(stream.as_fd(), &[given.as_fd()], b"x").unwrap();
        });
        let place = Place::Received(path);
        let mut bindings = Bindings::default();
        let staged = bindings.stage(vec![place.clone()], 2).unwrap();
        bindings.commit(&staged);
        thread.join().unwrap();
        assert_eq!(local_address(bindings.deal(&place, 1, 2)[0]).unwrap(), wanted);
        // Nobody gives any more: it is kept.
        let staged = bindings.stage(vec![place.clone()], 4).unwrap();
        bindings.commit(&staged);
    }
}
