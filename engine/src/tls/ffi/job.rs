//! Asynchronous jobs: an engine that is asked in one may pause it, and the loop does something else until a descriptor
//! of the engine's says that the answer is there.
//!
//! A job runs on a stack of its own, of 32 KiB and without a page behind it that would catch an overrun: what is called
//! back in a handshake has to be small. 8 KiB were the most that handshakes took with OpenSSL 3.0, whatever the key, with
//! clients' certificates verified; 5 KiB signatures by way of PKCS#11. What is paused must be driven to its end: freed before, it keeps its job and its
//! stack for ever.

use foreign_types::ForeignTypeRef;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslRef;
use std::ffi::{c_int, c_long, c_void};
use std::ptr::null_mut;

unsafe extern "C" {
    fn ASYNC_is_capable() -> c_int;
    fn ASYNC_cleanup_thread();
    fn ASYNC_init_thread(max: usize, first: usize) -> c_int;
    fn ASYNC_start_job(
        job: *mut *mut c_void,
        wait: *mut c_void,
        result: *mut c_int,
        work: extern "C" fn(*mut c_void) -> c_int,
        arguments: *mut c_void,
        size: usize,
    ) -> c_int;
    fn ASYNC_WAIT_CTX_new() -> *mut c_void;
    fn ASYNC_WAIT_CTX_free(wait: *mut c_void);
    fn ASYNC_WAIT_CTX_get_all_fds(wait: *mut c_void, fds: *mut c_int, count: *mut usize) -> c_int;
    fn SSL_ctrl(ssl: *mut c_void, command: c_int, number: c_long, data: *mut c_void) -> c_long;
    fn SSL_get_all_async_fds(ssl: *mut c_void, fds: *mut c_int, count: *mut usize) -> c_int;
    fn SSL_want(ssl: *const c_void) -> c_int;
}

/// SSL_CTRL_MODE, SSL_CTRL_CLEAR_MODE and SSL_MODE_ASYNC of openssl/ssl.h.
const SET_MODE: c_int = 33;
const CLEAR_MODE: c_int = 78;
const MODE_ASYNC: c_long = 0x100;

/// What ASYNC_start_job(3) says; else there was no job, or an error.
const PAUSE: c_int = 2;
const FINISH: c_int = 3;

/// SSL_ASYNC_PAUSED and SSL_ASYNC_NO_JOBS of openssl/ssl.h: what SSL_want(3) says.
const ASYNC_PAUSED: c_int = 5;
const ASYNC_NO_JOBS: c_int = 6;

/// How many descriptors of one job are waited for.
const AWAITED_MAX: usize = 4;

/// Makes room for so many jobs of this thread from here on, whatever there was before; false where the library has none.
/// A job that is paused meanwhile may never be gone on with.
pub(in crate::tls) fn prepare_jobs(max: usize) -> bool {
    // SAFETY: no memory is passed. What is freed are jobs that wait for work; one that is paused is none of them, and
    // whoever has paused it keeps it (see `Trial`).
    unsafe {
        ASYNC_cleanup_thread();
        ASYNC_is_capable() == 1 && ASYNC_init_thread(max, 0) == 1
    }
}

/// Lets engines pause what is done on this connection, or not any more. What a paused call was given it goes on using:
/// handshakes are given nothing, and reads what `Stream::plain` keeps in its place for them.
pub(in crate::tls) fn allow_pauses(ssl: &SslRef, allow: bool) {
    let command = if allow { SET_MODE } else { CLEAR_MODE };
    // SAFETY: the connection is live, and nothing of it is read through a reference while its mode changes.
    unsafe { SSL_ctrl(ssl.as_ptr().cast(), command, MODE_ASYNC, null_mut()) };
}

/// Why something that a connection was told to do has not been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tls) enum Pause {
    /// An engine has paused it.
    Card,
    /// There was no job for it.
    NoJob,
}

/// Whether what was last asked of a connection waits for an engine.
pub(in crate::tls) fn pause(ssl: &SslRef) -> Option<Pause> {
    // SAFETY: the connection is live.
    match unsafe { SSL_want(ssl.as_ptr().cast()) } {
        ASYNC_PAUSED => Some(Pause::Card),
        ASYNC_NO_JOBS => Some(Pause::NoJob),
        _ => None,
    }
}

/// The descriptors that a paused connection waits for: the first [`AWAITED_MAX`].
pub(in crate::tls) fn awaited(ssl: &SslRef) -> Vec<c_int> {
    let ssl: *mut c_void = ssl.as_ptr().cast();
    // SAFETY: the connection is live; what is written to is as the library is told.
    descriptors(|fds, count| unsafe { SSL_get_all_async_fds(ssl, fds, count) })
}

/// Asks for how many descriptors there are, then for these.
fn descriptors(ask: impl Fn(*mut c_int, *mut usize) -> c_int) -> Vec<c_int> {
    let mut count = 0;
    if ask(null_mut(), &mut count) != 1 {
        return Vec::new();
    }
    let mut fds = vec![-1; count];
    if count == 0 || ask(fds.as_mut_ptr(), &mut count) != 1 {
        return Vec::new();
    }
    fds.truncate(count.min(AWAITED_MAX));
    fds
}

/// One signature in a job: shows whether a key signs, and whether it pauses for that.
pub(in crate::tls) struct Trial {
    /// INVARIANT: the job while it is paused, else null.
    job: *mut c_void,
    /// INVARIANT: a wait context of ours.
    wait: *mut c_void,
    /// INVARIANT: from a box of ours, which the job uses while it runs or is paused.
    work: *mut Work,
}

struct Work {
    key: PKey<Private>,
    signed: Option<bool>,
}

/// How far a trial is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tls) enum Trying {
    /// It waits for one of these descriptors; to be tried again then.
    Paused(Vec<c_int>),
    /// The key signs, or does not.
    Over(bool),
}

impl Trial {
    pub(in crate::tls) fn new(key: PKey<Private>) -> Trial {
        let work = Box::into_raw(Box::new(Work { key, signed: None }));
        // SAFETY: nothing is passed.
        let wait = unsafe { ASYNC_WAIT_CTX_new() };
        Trial { job: null_mut(), wait, work }
    }

    /// Begins, or goes on after a pause.
    pub(in crate::tls) fn go_on(&mut self) -> Trying {
        if self.wait.is_null() {
            return Trying::Over(false);
        }
        let mut result = 0;
        let mut work = self.work;
        // SAFETY: job and wait context are ours; the arguments are copied, and what they point to lives until the job has
        // ended (see `drop`). While the job runs nothing else refers to its work.
        let state = unsafe {
            let arguments: *mut *mut Work = &mut work;
            ASYNC_start_job(
                &mut self.job,
                self.wait,
                &mut result,
                sign,
                arguments.cast(),
                size_of::<*mut Work>(),
            )
        };
        match state {
            PAUSE => {
                let wait = self.wait;
                // SAFETY: the wait context is ours; what is written to is as the library is told.
                Trying::Paused(descriptors(|fds, count| unsafe {
                    ASYNC_WAIT_CTX_get_all_fds(wait, fds, count)
                }))
            }
            FINISH => {
                self.job = null_mut();
                // SAFETY: the job has ended, and the box is ours again.
                Trying::Over(unsafe { (*self.work).signed } == Some(true))
            }
            _ => {
                self.job = null_mut();
                Trying::Over(false)
            }
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // A job that is paused keeps what it uses, for as long as this process lives.
        if self.job.is_null() {
            // SAFETY: both are ours, and no job uses them any more.
            unsafe {
                drop(Box::from_raw(self.work));
                ASYNC_WAIT_CTX_free(self.wait);
            }
        }
    }
}

extern "C" fn sign(arguments: *mut c_void) -> c_int {
    // SAFETY: the library passes its copy of what `go_on` gave it: a pointer to work that nothing else refers to now.
    let work = unsafe { &mut **arguments.cast::<*mut Work>() };
    work.signed = Some(super::super::card::sign(&work.key).is_ok());
    1
}
