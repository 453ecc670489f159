//! Fork and what follows it, tried in a process of one thread: hence no test harness.

use ounce_mem::Pool;
use ounce_sys::epoll::EpollRing;
use ounce_sys::privilege::{Descent, lookup_user};
use ounce_sys::probe::uring_available;
use ounce_sys::process::{self, End, Ended, Fork};
use ounce_sys::ring::{Fd, Interest, Outcome, Ring, Token};
use ounce_sys::signal;
use ounce_sys::socket::{self, Address, BACKLOG};
use ounce_sys::uring::UringRing;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn main() {
    for (name, test) in [
        ("ends_are_told", ends_are_told as fn()),
        ("reap_does_not_wait", reap_does_not_wait),
        ("threads_forbid_fork", threads_forbid_fork),
        ("names_and_cpus", names_and_cpus),
        ("only_kept_descriptors_stay", only_kept_descriptors_stay),
        ("children_die_with_their_parent", children_die_with_their_parent),
        ("children_forget_handlers", children_forget_handlers),
        ("rights_are_given_up", rights_are_given_up),
        ("accept_without_descriptors", accept_without_descriptors),
        ("polls_of_others", polls_of_others),
    ] {
        test();
        println!("test {name} ... ok");
    }
}

/// Runs this in a child and says how the child ended; a panic is status 101.
fn in_child(run: impl FnOnce()) -> End {
    match process::fork().unwrap() {
        Fork::Child => {
            let result = catch_unwind(AssertUnwindSafe(run));
            process::exit_now(if result.is_ok() { 0 } else { 101 })
        }
        Fork::Parent(child) => process::wait(child).unwrap().how,
    }
}

/// A status, a signal, and who has no such child.
fn ends_are_told() {
    assert_eq!(in_child(|| process::exit_now(7)), End::Exited(7));
    let killed = in_child(|| process::kill(process::pid(), libc::SIGKILL).unwrap());
    assert_eq!(killed, End::Killed(libc::SIGKILL));
    assert!(process::wait(process::pid()).is_err());
    for nobody in [0, -1, -process::pid()] {
        assert!(process::kill(nobody, libc::SIGTERM).is_err(), "groups are not one process");
    }
}

/// Without an ended child there is nothing to reap; several are reaped one by one.
fn reap_does_not_wait() {
    assert_eq!(process::reap().unwrap(), None);
    let mut children: Vec<i32> = (0..3).map(|_| sleeper()).collect();
    assert_eq!(process::reap().unwrap(), None);
    for child in &children {
        process::kill(*child, libc::SIGTERM).unwrap();
    }
    while !children.is_empty() {
        if let Some(Ended { pid, how }) = process::reap().unwrap() {
            assert_eq!(how, End::Killed(libc::SIGTERM));
            children.retain(|child| *child != pid);
        }
    }
}

/// A child that waits for its end.
fn sleeper() -> i32 {
    match process::fork().unwrap() {
        Fork::Child => loop {
            nix::unistd::pause();
        },
        Fork::Parent(child) => child,
    }
}

/// A second thread may hold a lock that the child would wait for ever.
fn threads_forbid_fork() {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    assert!(process::fork().is_err());
    drop(end);
    assert!(thread.join().unwrap().is_err());
    while process::thread_count().unwrap() > 1 {
        std::thread::yield_now();
    }
}

/// The name is what the system shows, and a pinned process runs where it was told to.
fn names_and_cpus() {
    let end = in_child(|| {
        process::set_name("ounce-worker").unwrap();
        assert_eq!(std::fs::read_to_string("/proc/self/comm").unwrap().trim(), "ounce-worker");
        let cpus = process::allowed_cpus().unwrap();
        let last = *cpus.last().unwrap();
        process::pin_to(last).unwrap();
        assert_eq!(process::allowed_cpus().unwrap(), [last]);
        process::allow_cpus(&cpus).unwrap();
        assert_eq!(process::allowed_cpus().unwrap(), cpus);
        assert!(process::pin_to(1_000_000).is_err());
        assert!(process::raise_open_files().unwrap() > 3);
    });
    assert_eq!(end, End::Exited(0));
}

/// A child keeps what it was told to and the three that everybody has.
fn only_kept_descriptors_stay() {
    let end = in_child(|| {
        let open: Vec<i32> =
            (0..6).map(|_| std::fs::File::open("/dev/null").unwrap().into_raw_fd()).collect();
        process::close_fds_except(&[open[4], open[1], -1, 1]).unwrap();
        let is_open = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok();
        for (at, fd) in open.iter().enumerate() {
            assert_eq!(is_open(*fd), at == 1 || at == 4, "descriptor {at}");
        }
        assert!(is_open(2));
    });
    assert_eq!(end, End::Exited(0));
}

/// A worker whose supervisor is killed ends too, also when it has given up its rights since.
fn children_die_with_their_parent() {
    let (read, write) = nix::unistd::pipe().unwrap();
    let parent = match process::fork().unwrap() {
        Fork::Child => {
            let middle = process::pid();
            if process::fork().unwrap() == Fork::Child {
                process::die_with_parent(middle).unwrap();
                if nix::unistd::geteuid().is_root() {
                    let user = lookup_user("nobody").ok();
                    Descent { user, ..Descent::default() }.apply().unwrap();
                }
                nix::unistd::write(&write, b"x").unwrap();
            }
            loop {
                nix::unistd::pause();
            }
        }
        Fork::Parent(child) => child,
    };
    drop(write);
    assert_eq!(nix::unistd::read(&read, &mut [0; 8]).unwrap(), 1);
    process::kill(parent, libc::SIGKILL).unwrap();
    process::wait(parent).unwrap();
    // The last writer is the grandchild: the end of the pipe is its end.
    assert_eq!(nix::unistd::read(&read, &mut [0; 8]).unwrap(), 0);
    assert_eq!(
        in_child(|| assert!(process::die_with_parent(1).is_err() || process::pid() == 1)),
        End::Exited(0)
    );
}

/// A handler and a mask of the parent's have no say in the child.
fn children_forget_handlers() {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
    let end = in_child(|| {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTERM);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None).unwrap();
        process::kill(process::pid(), libc::SIGTERM).unwrap();
        signal::forget_parent().unwrap();
    });
    assert_eq!(end, End::Killed(libc::SIGTERM));
}

/// After the descent nothing of root is left, and a ring made before it still serves.
fn rights_are_given_up() {
    if !nix::unistd::geteuid().is_root() {
        println!("not run: only root can give up root");
        return;
    }
    let Ok(user) = lookup_user("nobody") else {
        println!("not run: there is no user nobody");
        return;
    };
    let folder = std::env::temp_dir().join(format!("ounce-sys-root-{}", process::pid()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("inside"), b"here").unwrap();
    let descent = Descent { root: Some(folder.clone()), user: Some(user.clone()), group: None };
    let end = in_child(|| {
        let listener = listener();
        let mut serve: Box<dyn FnMut()> = if uring_available().is_ok() {
            let mut ring = UringRing::new(Pool::new(8).unwrap()).unwrap();
            Box::new(move || accept_one(&mut ring, &listener))
        } else {
            let mut ring = EpollRing::new(Pool::new(8).unwrap()).unwrap();
            Box::new(move || accept_one(&mut ring, &listener))
        };
        descent.apply().unwrap();
        assert_eq!(nix::unistd::getuid().as_raw(), user.uid);
        assert_eq!(nix::unistd::getegid().as_raw(), user.gid);
        assert!(nix::unistd::getgroups().unwrap().iter().all(|group| user.groups.contains(&group.as_raw())));
        assert!(nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).is_err());
        assert_eq!(std::fs::read("/inside").unwrap(), b"here");
        assert_eq!(std::env::current_dir().unwrap().to_str(), Some("/"));
        // Again changes nothing and is no error, but for the chroot.
        Descent { root: None, ..descent }.apply().unwrap();
        serve();
    });
    assert_eq!(end, End::Exited(0));
    let only_group = in_child(|| {
        Descent { group: Some(12345), user: None, root: None }.apply().unwrap();
        assert_eq!(nix::unistd::getgroups().unwrap(), [nix::unistd::Gid::from_raw(12345)]);
        assert!(Descent { root: Some("/nowhere/at/all".into()), ..Descent::default() }.apply().is_err());
    });
    assert_eq!(only_group, End::Exited(0));
    std::fs::remove_dir_all(folder).unwrap();
}

fn listener() -> std::os::fd::OwnedFd {
    socket::bind_listening(&Address::Inet("127.0.0.1:0".parse().unwrap()), true, BACKLOG).unwrap()
}

fn connect(listener: &impl AsRawFd) -> TcpStream {
    match socket::local_address(listener.as_raw_fd()).unwrap() {
        Address::Inet(to) => TcpStream::connect(to).unwrap(),
        other => panic!("{other}"),
    }
}

const ACCEPT: Token = Token { op: 0, generation: 1, slot: 0 };

fn next(ring: &mut impl Ring) -> (Outcome, bool) {
    let mut told = Vec::new();
    for _ in 0..1000 {
        ring.wait(Some(Duration::from_millis(10)), &mut told).unwrap();
        if let Some(completion) = told.pop() {
            assert!(told.is_empty());
            return (completion.outcome, completion.more);
        }
    }
    panic!("nothing came");
}

fn accept_one(ring: &mut impl Ring, listener: &impl AsRawFd) {
    ring.accept(Fd(listener.as_raw_fd()), ACCEPT);
    let _client = connect(listener);
    let (outcome, _) = next(ring);
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
}

/// Without descriptors an accept ends and says why; with one again the same connection is accepted.
fn accept_without_descriptors() {
    let end = in_child(|| {
        if uring_available().is_ok() {
            starve(&mut UringRing::new(Pool::new(8).unwrap()).unwrap());
        }
        starve(&mut EpollRing::new(Pool::new(8).unwrap()).unwrap());
    });
    assert_eq!(end, End::Exited(0));
}

fn starve(ring: &mut impl Ring) {
    let listener = listener();
    let _client = connect(&listener);
    let lowest = std::fs::File::open("/dev/null").unwrap();
    let before = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let limit = |soft| {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, soft, before.1).unwrap();
    };
    limit(lowest.as_raw_fd() as u64 + 1);
    ring.accept(Fd(listener.as_raw_fd()), ACCEPT);
    let (outcome, more) = next(ring);
    let Outcome::Failed(errno, None) = outcome else { panic!("{outcome:?}") };
    assert_eq!((errno.0, more), (libc::EMFILE, false));
    let error = ring.socket(&Address::Inet("127.0.0.1:1".parse().unwrap())).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    limit(before.0);
    ring.accept(Fd(listener.as_raw_fd()), ACCEPT);
    let (outcome, _) = next(ring);
    let Outcome::Accepted(fd) = outcome else { panic!("{outcome:?}") };
    ring.close(fd, false);
    ring.cancel(ACCEPT);
    let (outcome, more) = next(ring);
    assert!(matches!(outcome, Outcome::Cancelled(None)) && !more, "{outcome:?}");
}

/// Descriptors that others own are polled, closed behind the ring's back, and their numbers come again.
fn polls_of_others() {
    let end = in_child(|| {
        if uring_available().is_ok() {
            poll_again(&mut UringRing::new(Pool::new(8).unwrap()).unwrap());
        }
        poll_again(&mut EpollRing::new(Pool::new(8).unwrap()).unwrap());
    });
    assert_eq!(end, End::Exited(0));
}

fn poll_again(ring: &mut impl Ring) {
    let poll = Token { op: 2, generation: 1, slot: 1 };
    let mut number = None;
    for _ in 0..3 {
        let (read, write) = nix::unistd::pipe().unwrap();
        let fd = Fd(read.as_raw_fd());
        assert_eq!(number.replace(fd).unwrap_or(fd), fd);
        for _ in 0..2 {
            ring.poll(fd, Interest::Read, poll);
            let mut told = Vec::new();
            ring.wait(Some(Duration::from_millis(1)), &mut told).unwrap();
            assert!(told.is_empty());
            nix::unistd::write(&write, b"x").unwrap();
            assert!(matches!(next(ring), (Outcome::Ready, false)));
            nix::unistd::read(&read, &mut [0; 8]).unwrap();
        }
    }
}
