//! [`SimNet`]: the simulation as a test sees it, from the outside of the worker.

use super::SimRing;
use super::faults::Faults;
use super::progress::find;
use super::random::Random;
use super::stream::Found;
use super::world::{Listener, Object, World};
use crate::errno::Errno;
use crate::ring::{Fd, Now};
use crate::socket::Address;
use ounce_mem::Pool;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// The outside of a simulation: clients and origins act through it, and it owns time. Clones are handles to the same.
#[derive(Clone)]
pub struct SimNet {
    pub(super) world: Rc<RefCell<World>>,
    outside: Rc<RefCell<Option<Outside>>>,
}

type Outside = Box<dyn FnMut(&SimNet)>;

/// The outside end of a connection. It stays a valid name after its close; calls find nothing then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Far(u64);

/// What a read at the outside found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FarRead {
    /// These bytes, at least one.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The worker has ended the stream.
    End,
    /// The connection is broken. Told once; `End` afterwards.
    Reset,
}

/// What is left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// Descriptors of the worker with what they are.
    pub descriptors: Vec<(Fd, String)>,
    /// Operations that were not told to have ended.
    pub operations: usize,
    /// Ends of connections, on both sides.
    pub ends: usize,
}

impl SimNet {
    /// A network whose faults are drawn from the seed.
    pub fn new(seed: u64) -> SimNet {
        let mut random = Random::new(seed);
        let faults = Faults::draw(&mut random);
        SimNet::build(seed, faults, random)
    }

    /// A network with these faults.
    pub fn with_faults(seed: u64, faults: Faults) -> SimNet {
        SimNet::build(seed, faults, Random::new(seed))
    }

    fn build(seed: u64, faults: Faults, random: Random) -> SimNet {
        let world = Rc::new(RefCell::new(World::new(seed, faults, random)));
        SimNet { world, outside: Rc::default() }
    }

    /// The worker's end of the simulation.
    pub fn ring(&self, pool: Pool) -> SimRing {
        SimRing::new(self.clone(), pool)
    }

    /// What goes wrong here.
    pub fn faults(&self) -> Faults {
        self.world.borrow().faults
    }

    /// Changes what goes wrong from now on; windows stay as they are.
    pub fn set_faults(&self, faults: Faults) {
        self.world.borrow_mut().faults = faults;
    }

    /// A number from 0 to `bound` - 1 from the simulation's own source, for choices of the test.
    pub fn below(&self, bound: u64) -> u64 {
        self.world.borrow_mut().random.below(bound)
    }

    /// Sets who acts outside while the worker waits: called at each turn and whenever time goes on. It should say by
    /// [`SimNet::wake_at`] when it wants to act though nothing has arrived for it.
    pub fn set_outside(&self, act: impl FnMut(&SimNet) + 'static) {
        *self.outside.borrow_mut() = Some(Box::new(act));
    }

    /// Calls who acts outside; false if there is nobody.
    pub(super) fn act(&self) -> bool {
        // Taken out for the call, so that it may call anything of this net.
        let Some(mut act) = self.outside.borrow_mut().take() else { return false };
        act(self);
        self.outside.borrow_mut().get_or_insert(act);
        true
    }

    /// Time stops here if it comes by, for the outside to act. The earliest wish counts.
    pub fn wake_at(&self, mono_us: u64) {
        let mut world = self.world.borrow_mut();
        let wish =
            world.wake_us.filter(|wish| *wish > world.now_us).map_or(mono_us, |wish| wish.min(mono_us));
        world.wake_us = Some(wish);
    }

    /// The time now, also between waits.
    pub fn now(&self) -> Now {
        self.world.borrow().now()
    }

    /// Lets time pass outside of a wait.
    pub fn advance(&self, us: u64) {
        let mut world = self.world.borrow_mut();
        let then = world.now_us + us;
        world.set_time(then);
        world.arrive();
    }

    /// A listening socket for the worker. Several at one address share its connections, as with SO_REUSEPORT.
    pub fn bind(&self, address: &Address) -> Fd {
        let mut world = self.world.borrow_mut();
        world.near.push(listener(address));
        let at = world.near.len() - 1;
        world.open(Object::Listener(at))
    }

    /// Two connected ends, one of them the worker's: what a socketpair between it and the supervisor is.
    pub fn pair(&self) -> (Fd, Far) {
        let mut world = self.world.borrow_mut();
        let unnamed = || Address::Unix(std::path::PathBuf::new());
        let (near, far) = world.streams.pair(unnamed(), unnamed());
        (world.open(Object::Stream(near)), Far(far))
    }

    /// Connects to a listening socket of the worker.
    ///
    /// # Errors
    /// ECONNREFUSED if it has none there.
    pub fn connect(&self, to: &Address) -> Result<Far, Errno> {
        let own = self.world.borrow_mut().client_address(to);
        self.connect_from(own, to)
    }

    /// Connects from this address.
    ///
    /// # Errors
    /// As [`SimNet::connect`].
    pub fn connect_from(&self, own: Address, to: &Address) -> Result<Far, Errno> {
        let mut world = self.world.borrow_mut();
        let open = world.near.iter().enumerate().filter(|(_, near)| near.open && near.address == *to);
        let shared: Vec<usize> = open.map(|(at, _)| at).collect();
        if shared.is_empty() {
            return Err(Errno(libc::ECONNREFUSED));
        }
        let at = shared[world.random.below(shared.len() as u64) as usize];
        let due = world.due();
        let (far, near) = world.streams.pair(own, to.clone());
        // The queue is in order of arrival.
        let due = world.near[at].queue.back().map_or(due, |(before, _)| due.max(*before));
        world.near[at].queue.push_back((due, near));
        Ok(Far(far))
    }

    /// Listens as an origin.
    pub fn listen(&self, address: &Address) {
        let mut world = self.world.borrow_mut();
        world.blackholes.retain(|hole| hole != address);
        if find(&world.far, address).is_none() {
            world.far.push(listener(address));
        }
    }

    /// Listens no more: connects are refused, and connections that were not accepted are reset.
    pub fn refuse(&self, address: &Address) {
        let mut world = self.world.borrow_mut();
        let due = world.due();
        if let Some(at) = find(&world.far, address) {
            world.far[at].open = false;
            for (_, end) in std::mem::take(&mut world.far[at].queue) {
                world.streams.close(end, true, due);
            }
        }
        world.blackholes.retain(|hole| hole != address);
    }

    /// Answers connects to this address neither way, for ever.
    pub fn blackhole(&self, address: &Address) {
        self.world.borrow_mut().blackholes.push(address.clone());
    }

    /// The next connection that the worker made to this address.
    pub fn accept(&self, address: &Address) -> Option<Far> {
        let mut world = self.world.borrow_mut();
        let at = find(&world.far, address)?;
        world.far[at].queue.pop_front().map(|(_, end)| Far(end))
    }

    /// Sends as many of these bytes as there is room for, perhaps none.
    ///
    /// # Errors
    /// ECONNRESET or EPIPE if the connection is broken or shut.
    pub fn write(&self, far: Far, bytes: &[u8]) -> Result<usize, Errno> {
        let mut world = self.world.borrow_mut();
        world.arrive();
        let count = bytes.len().min(world.streams.room(far.0));
        let due = world.due();
        world.streams.write(far.0, &bytes[..count], due)?;
        Ok(count)
    }

    /// How many bytes a write would take now.
    pub fn room(&self, far: Far) -> usize {
        self.world.borrow().streams.room(far.0)
    }

    /// How many bytes a read would find now.
    pub fn available(&self, far: Far) -> usize {
        let mut world = self.world.borrow_mut();
        world.arrive();
        world.streams.available(far.0)
    }

    /// Reads up to `most` bytes.
    pub fn read(&self, far: Far, most: usize) -> FarRead {
        let mut world = self.world.borrow_mut();
        world.arrive();
        match world.streams.read(far.0, most) {
            Found::Bytes(bytes) => FarRead::Bytes(bytes),
            Found::Nothing => FarRead::Nothing,
            Found::End => FarRead::End,
            Found::Error(_) => FarRead::Reset,
        }
    }

    /// The connection is broken, told or not.
    pub fn is_broken(&self, far: Far) -> bool {
        self.world.borrow().streams.is_broken(far.0)
    }

    /// This end's own address.
    pub fn local(&self, far: Far) -> Option<Address> {
        self.world.borrow().streams.local(far.0)
    }

    /// Sends no more.
    pub fn shutdown_write(&self, far: Far) {
        let mut world = self.world.borrow_mut();
        let due = world.due();
        world.streams.shutdown_write(far.0, due);
    }

    /// Closes; over unread bytes this is a reset.
    pub fn close(&self, far: Far) {
        let mut world = self.world.borrow_mut();
        let due = world.due();
        world.streams.close(far.0, false, due);
    }

    /// Closes by a reset.
    pub fn reset(&self, far: Far) {
        let mut world = self.world.borrow_mut();
        let due = world.due();
        world.streams.close(far.0, true, due);
    }

    /// What is open and in flight.
    pub fn census(&self) -> Census {
        let mut world = self.world.borrow_mut();
        world.arrive();
        let descriptors = world.opened().into_iter().map(|(fd, object)| (fd, format!("{object:?}")));
        Census {
            descriptors: descriptors.collect(),
            operations: world.operations(),
            ends: world.streams.count(),
        }
    }

    /// The worker's listening sockets that are open.
    pub fn listeners(&self) -> Vec<Fd> {
        let opened = self.world.borrow().opened();
        opened
            .into_iter()
            .filter(|(_, object)| matches!(object, Object::Listener(_)))
            .map(|(fd, _)| fd)
            .collect()
    }

    /// Asserts that the worker has nothing open but these and nothing in flight.
    ///
    /// # Panics
    /// If it has.
    pub fn assert_all_returned(&self, keep: &[Fd]) {
        let census = self.census();
        let seed = self.world.borrow().seed;
        let leaked: Vec<_> = census.descriptors.iter().filter(|(fd, _)| !keep.contains(fd)).collect();
        assert!(leaked.is_empty(), "seed {seed}: descriptors were leaked: {leaked:?}");
        assert_eq!(census.operations, 0, "seed {seed}: operations are still in flight");
    }

    /// A number that two runs share exactly if they told the same completions at the same times.
    pub fn fingerprint(&self) -> u64 {
        self.world.borrow().fingerprint()
    }
}

fn listener(address: &Address) -> Listener {
    Listener { address: address.clone(), queue: VecDeque::new(), open: true }
}
