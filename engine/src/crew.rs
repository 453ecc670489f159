//! Helper threads of a worker: for work that would stall its loop, such as a slow password hash, or a signature by an
//! engine that never pauses.
//!
//! ```text
//!  loop ── give ─► jobs ─► thread ─► answers ─► bell ─► poll of the ring ─► loop: answer
//! ```
//!
//! A [`Crew`] has a purpose, and threads and a queue of its own, so that passwords never wait for signatures or the other
//! way round. Everything is bounded: [`Terms`] says how many threads there are and how many jobs may be on their way;
//! one more is refused, and counted, and what then becomes of its request is its giver's to decide.
//!
//! Threads start when jobs come: not before the fork, nor before privileges are gone. They block all signals, run on
//! any CPU that the program may use rather than on the worker's own, and stand back behind loops as far as their terms
//! say. They end when their crew is dropped; one that is in the middle of a job is not waited for, and ends with the
//! process. A job that panics ends the process, as a panic of the loop does.
//!
//! On a simulated ring a crew has no threads ([`Manner::Inline`]): each job is done in the turn after the one that gave
//! it, so that a run can be played again.
//!
//! # How to use one
//!
//! The worker holds a `Crew<T>` for each purpose, `T` being the answers; it names the poll by the number of the crew
//! ([`Terms::number`]). [`Crew::give`] takes a job: whatever it needs must move into it. When the poll ends
//! (op `CREW`, that number as its slot), [`Crew::heard`] listens on and [`Crew::answer`] has the answers one
//! after the other. A crew does not know for whom it works: an answer must carry the [`Key`](ounce_mem::Key) of its
//! connection, which may be gone by then.

use crate::socket::op;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use ounce_mem::{Counter, CounterPage};
use ounce_sys::bell::Bell;
use ounce_sys::ring::{Interest, Ring, Token};
use ounce_sys::{process, signal};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Bytes of a thread's stack: enough for OpenSSL and what it loads.
const STACK_BYTES: usize = 512 * 1024;

/// Work for a helper thread.
pub type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// A job that was not taken: as many as may be are on their way, or no thread could be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// What a crew is for, and how much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Names the threads in lists: 15 bytes at most.
    pub name: &'static str,
    /// The slot of its poll: which crew of the worker it is.
    pub number: u32,
    /// Threads at most.
    pub threads_max: usize,
    /// Jobs at most that were given and not answered yet.
    pub jobs_max: usize,
    /// Steps of nice(2) by which the threads stand back; 0 for work that mostly waits.
    pub steps_back: u8,
}

/// Whether there are threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Threads that may run on these CPUs; on none, they stay where the worker is.
    Threads(Vec<usize>),
    /// The loop itself, one turn later.
    Inline,
}

/// See the module.
pub struct Crew<T> {
    terms: Terms,
    manner: Manner,
    threads: usize,
    /// Jobs on their way.
    out: usize,
    /// What leads to the threads, once there are any.
    line: Option<Line<T>>,
    /// Jobs that wait for the next turn.
    inline: VecDeque<Job<T>>,
}

/// Both ways between loop and threads. Neither ever waits for room: no more is on its way than there are places.
struct Line<T> {
    jobs: Sender<Job<T>>,
    /// For threads to come.
    jobs_out: Receiver<Job<T>>,
    answers: Answers<T>,
    bell: Arc<Bell>,
}

/// Not a channel: the loop would spin while a thread that was stopped in the middle of a send has yet to run again, and it
/// has to sleep for that to happen soon.
type Answers<T> = Arc<Mutex<VecDeque<T>>>;

impl<T: Send + 'static> Crew<T> {
    /// A crew without threads so far.
    #[must_use]
    pub fn new(terms: Terms, manner: Manner) -> Crew<T> {
        Crew { terms, manner, threads: 0, out: 0, line: None, inline: VecDeque::new() }
    }

    /// Gives a job to the next thread that is free.
    ///
    /// # Errors
    /// That it was refused; it is dropped then, and counted.
    pub fn give<R: Ring>(
        &mut self,
        job: Job<T>,
        ring: &mut R,
        counters: &CounterPage,
    ) -> Result<(), Refused> {
        let given = self.out < self.terms.jobs_max && self.pass_on(job, ring);
        self.out += usize::from(given);
        counters.add(if given { Counter::CrewJobs } else { Counter::CrewJobsRefused }, 1);
        if given { Ok(()) } else { Err(Refused) }
    }

    /// The poll of this crew has ended: listens on. Then ask for answers until there are none.
    pub fn heard<R: Ring>(&mut self, ring: &mut R) {
        if let Some(line) = &self.line {
            // In this order: what is answered from here on rings again.
            line.bell.hush();
            self.listen(ring);
        }
    }

    /// The next answer, if there is one. Answers come as they are found, not as they were asked for.
    pub fn answer(&mut self) -> Option<T> {
        let answer = match &self.line {
            Some(line) => held(&line.answers).pop_front(),
            None => self.inline.pop_front().map(|job| job()),
        };
        self.out -= usize::from(answer.is_some());
        answer
    }

    /// There are answers for which nothing will ring: jobs that the loop itself does.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.inline.is_empty()
    }

    fn pass_on<R: Ring>(&mut self, job: Job<T>, ring: &mut R) -> bool {
        if self.manner == Manner::Inline {
            self.inline.push_back(job);
            return true;
        }
        if self.line.is_none() {
            let Ok(line) = Line::new(self.terms.jobs_max) else { return false };
            self.line = Some(line);
            self.listen(ring);
        }
        // Every thread has something to do, or will have.
        if self.out >= self.threads && self.threads < self.terms.threads_max && self.enlist().is_ok() {
            self.threads += 1;
        }
        let Some(line) = self.line.as_ref().filter(|_| self.threads > 0) else { return false };
        !matches!(line.jobs.try_send(job), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)))
    }

    fn listen<R: Ring>(&self, ring: &mut R) {
        if let Some(line) = &self.line {
            let token = Token { op: op::CREW, generation: 0, slot: self.terms.number };
            ring.poll(line.bell.fd(), Interest::Read, token);
        }
    }

    /// Starts one more thread.
    fn enlist(&self) -> io::Result<()> {
        let (Some(line), Manner::Threads(cpus)) = (&self.line, &self.manner) else { return Ok(()) };
        let (jobs, answers) = (line.jobs_out.clone(), Arc::clone(&line.answers));
        let (bell, cpus, steps_back) = (Arc::clone(&line.bell), cpus.clone(), self.terms.steps_back);
        let builder = thread::Builder::new().name(self.terms.name.to_owned()).stack_size(STACK_BYTES);
        let started = signal::blocked(move || {
            builder.spawn(move || {
                if !cpus.is_empty() {
                    // CPUs that were taken away meanwhile: it stays with its worker.
                    let _ = process::allow_cpus(&cpus);
                }
                let _ = process::give_way(steps_back);
                work(&jobs, &answers, &bell);
            })
        });
        started?.map(drop)
    }
}

impl<T> Line<T> {
    fn new(places: usize) -> io::Result<Line<T>> {
        let (jobs, jobs_out) = bounded(places);
        let answers = Arc::new(Mutex::new(VecDeque::with_capacity(places)));
        Ok(Line { jobs, jobs_out, answers, bell: Arc::new(Bell::new()?) })
    }
}

impl<T> Drop for Line<T> {
    /// What nobody will hear of is not begun.
    fn drop(&mut self) {
        while self.jobs_out.try_recv().is_ok() {}
    }
}

/// Nothing panics while it holds them.
fn held<T>(answers: &Answers<T>) -> MutexGuard<'_, VecDeque<T>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The life of a thread.
fn work<T>(jobs: &Receiver<Job<T>>, answers: &Answers<T>, bell: &Bell) {
    while let Ok(job) = jobs.recv() {
        let Ok(answer) = catch_unwind(AssertUnwindSafe(job)) else {
            // Its connection would wait for ever. The hook has said what it was.
            process::exit_now(1);
        };
        held(answers).push_back(answer);
        bell.ring();
        // The loop has been woken, and may have to run on this CPU. If it were to take it away in the middle of the next job, it
        // might be from a holder of one of the library's locks, for which it would then wait.
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ounce_mem::{Limits, Pool, Segment};
    use ounce_sys::epoll::EpollRing;
    use ounce_sys::ring::{Completion, Outcome};
    use ounce_sys::sim::SimNet;
    use ounce_sys::uring::UringRing;
    use std::sync::mpsc;
    use std::time::Duration;

    const TERMS: Terms = Terms { name: "crew", number: 3, threads_max: 2, jobs_max: 4, steps_back: 5 };

    fn segment() -> Segment {
        let limits = Limits { backends: 8, services: 8, listeners: 8, session_buckets: 8, workers: 4 };
        Segment::create(limits).unwrap()
    }

    /// Turns of a loop until so many answers have come, in ascending order.
    fn answers<R: Ring>(crew: &mut Crew<u32>, ring: &mut R, count: usize) -> Vec<u32> {
        let mut found = Vec::new();
        let mut completions: Vec<Completion> = Vec::new();
        while found.len() < count {
            ring.wait(Some(Duration::from_secs(1)), &mut completions).unwrap();
            for completion in completions.drain(..) {
                assert_eq!(completion.token, Token { op: op::CREW, generation: 0, slot: 3 });
                assert!(matches!(completion.outcome, Outcome::Ready), "{completion:?}");
                crew.heard(ring);
            }
            found.extend(std::iter::from_fn(|| crew.answer()));
        }
        found.sort_unstable();
        found
    }

    fn serves<R: Ring>(mut ring: R) {
        let segment = segment();
        let counters = segment.counters().page(0);
        let mut crew = Crew::new(TERMS, Manner::Threads(process::allowed_cpus().unwrap()));
        for round in 0..3 {
            for number in 0..4 {
                crew.give(Box::new(move || round * 10 + number), &mut ring, counters).unwrap();
            }
            assert_eq!(answers(&mut crew, &mut ring, 4), [0, 1, 2, 3].map(|number| round * 10 + number));
        }
        assert_eq!((counters.get(Counter::CrewJobs), counters.get(Counter::CrewJobsRefused)), (12, 0));
    }

    #[test]
    fn answers_wake_both_rings() {
        serves(EpollRing::new(Pool::new(8).unwrap()).unwrap());
        // Not every kernel that runs tests allows it.
        if let Ok(ring) = UringRing::new(Pool::new(8).unwrap()) {
            serves(ring);
        }
    }

    /// Two threads are at work and two jobs wait: the fifth is refused at once, and the next one is not once there is
    /// room.
    #[test]
    fn what_does_not_fit_is_refused_and_counted() {
        let segment = segment();
        let counters = segment.counters().page(0);
        let mut ring = EpollRing::new(Pool::new(8).unwrap()).unwrap();
        let mut crew = Crew::new(TERMS, Manner::Threads(Vec::new()));
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for number in 0..4 {
            let gate = Arc::clone(&gate);
            let job = Box::new(move || {
                gate.lock().unwrap().recv().unwrap();
                number
            });
            crew.give(job, &mut ring, counters).unwrap();
        }
        assert_eq!(crew.threads, 2);
        assert_eq!(crew.give(Box::new(|| 9), &mut ring, counters), Err(Refused));
        assert_eq!(counters.get(Counter::CrewJobsRefused), 1);
        assert_eq!(crew.answer(), None);
        (0..4).for_each(|_| open.send(()).unwrap());
        assert_eq!(answers(&mut crew, &mut ring, 4), [0, 1, 2, 3]);
        crew.give(Box::new(|| 9), &mut ring, counters).unwrap();
        assert_eq!(answers(&mut crew, &mut ring, 1), [9]);
    }

    /// What threads hold is let go of when the crew is.
    #[test]
    fn threads_end_with_their_crew() {
        let segment = segment();
        let mut ring = EpollRing::new(Pool::new(8).unwrap()).unwrap();
        let mut crew = Crew::new(TERMS, Manner::Threads(Vec::new()));
        crew.give(Box::new(|| 1), &mut ring, segment.counters().page(0)).unwrap();
        assert_eq!(answers(&mut crew, &mut ring, 1), [1]);
        let line = crew.line.as_ref().unwrap();
        let bell = Arc::downgrade(&line.bell);
        drop(crew);
        while bell.strong_count() > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn a_simulated_crew_works_a_turn_later() {
        let segment = segment();
        let mut ring = SimNet::new(1).ring(Pool::new(8).unwrap());
        let mut crew = Crew::new(TERMS, Manner::Inline);
        assert!(!crew.is_due());
        for number in 0..4 {
            crew.give(Box::new(move || number), &mut ring, segment.counters().page(0)).unwrap();
        }
        assert!(crew.is_due());
        assert_eq!(crew.give(Box::new(|| 9), &mut ring, segment.counters().page(0)), Err(Refused));
        let found: Vec<u32> = std::iter::from_fn(|| crew.answer()).collect();
        assert_eq!(found, [0, 1, 2, 3]);
        assert!(!crew.is_due());
    }

    /// Signals go to the loop, and threads are not held to its CPU.
    #[test]
    fn threads_block_signals_and_run_anywhere() {
        let all = process::allowed_cpus().unwrap();
        let (tell, told) = mpsc::channel();
        let job = Box::new(move || {
            tell.send((std::fs::read_to_string("/proc/thread-self/status"), process::allowed_cpus()))
                .unwrap();
            0
        });
        // A thread in place of a worker's process, which is held to one CPU.
        let cpus = all.clone();
        let worker = thread::spawn(move || {
            process::pin_to(cpus[0]).unwrap();
            let segment = segment();
            let mut ring = EpollRing::new(Pool::new(8).unwrap()).unwrap();
            let mut crew = Crew::new(TERMS, Manner::Threads(cpus));
            crew.give(job, &mut ring, segment.counters().page(0)).unwrap();
            answers(&mut crew, &mut ring, 1)
        });
        assert_eq!(worker.join().unwrap(), [0]);
        let (status, cpus) = told.recv().unwrap();
        assert_eq!(cpus.unwrap(), all);
        let status = status.unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
        let blocked = u64::from_str_radix(blocked, 16).unwrap();
        for signal in [1, 2, 3, 10, 12, 13, 15, 17] {
            assert!(blocked & 1 << (signal - 1) != 0, "signal {signal}: {blocked:x}");
        }
    }
}
