//! A service and a real segment, for tests.

use super::pick::{Tried, pick};
use crate::route::compile::{Ids, compile};
use crate::route::plan::{BackendIx, Plan, ServiceIx, ServicePlan};
use crate::route::sample::{config, service};
use ounce_conf::model::{Backend, Balancer, Session, SessionKind};
use ounce_mem::{BackendId, Limits, Owner, Segment};
use std::collections::BTreeMap;
use std::time::Duration;

/// One service, its backends in file order, and the segment of its workers.
pub(crate) struct Fleet {
    pub(crate) plan: Plan,
    pub(crate) segment: Segment,
    pub(crate) owner: Owner,
}

struct Rows<'a>(&'a Segment);

impl Ids for Rows<'_> {
    fn listener(&mut self, identity: &str) -> Option<u32> {
        self.0.listeners().claim(identity, 1).map(|id| id.0)
    }

    fn service(&mut self, identity: &str) -> Option<u32> {
        self.0.services().claim(identity, 1).map(|id| id.0)
    }

    fn backend(&mut self, identity: &str) -> Option<u32> {
        self.0.backends().claim(identity, 1).map(|id| id.0)
    }
}

impl Fleet {
    pub(crate) fn new(balancer: Balancer, backends: Vec<Backend>, emergency: Vec<Backend>) -> Fleet {
        Fleet::build(balancer, backends, emergency, None)
    }

    /// Equal regular backends and a session of 60 seconds.
    pub(crate) fn sticky(kind: SessionKind, backends: Vec<Backend>) -> Fleet {
        let session = Session { kind, ttl: Some(Duration::from_secs(60)) };
        Fleet::build(Balancer::Iwrr, backends, Vec::new(), Some(session))
    }

    /// Backends that keys alone choose among.
    pub(crate) fn hashed(backends: Vec<Backend>, emergency: Vec<Backend>) -> Fleet {
        let session = Session { kind: SessionKind::Ip, ttl: None };
        Fleet::build(Balancer::Iwrr, backends, emergency, Some(session))
    }

    fn build(
        balancer: Balancer,
        backends: Vec<Backend>,
        emergency: Vec<Backend>,
        session: Option<Session>,
    ) -> Fleet {
        let limits = Limits { backends: 256, services: 8, listeners: 8, session_buckets: 64, workers: 8 };
        let segment = Segment::create(limits).expect("a segment");
        let mut service = service(None, Vec::new(), backends);
        (service.balancer, service.emergency, service.session) = (balancer, emergency, session);
        let config = config(Vec::new(), vec![service]);
        let plan = compile(&config, &mut Rows(&segment)).expect("a plan");
        let owner = segment.fleet().begin(0, 1);
        Fleet { plan, segment, owner }
    }

    pub(crate) fn service(&self) -> &ServicePlan {
        self.plan.service(ServiceIx(0))
    }

    /// The row of the backend at this place.
    pub(crate) fn id(&self, ix: u32) -> BackendId {
        BackendId(self.plan.backend(BackendIx(ix)).row)
    }

    pub(crate) fn pick(&self) -> Option<BackendIx> {
        self.pick_with(&Tried::new(), 0)
    }

    pub(crate) fn pick_with(&self, tried: &Tried, random: u64) -> Option<BackendIx> {
        pick(&self.plan, self.service(), &self.segment, None, 0, self.owner, tried, random)
    }

    /// The choice for a request with this session key.
    pub(crate) fn pick_for(&self, key: &[u8], now_ms: u64, tried: &Tried) -> Option<u32> {
        pick(&self.plan, self.service(), &self.segment, Some(key), now_ms, self.owner, tried, 0)
            .map(|backend| backend.0)
    }

    /// How often each backend is chosen in so many requests, dealt out to so many workers that have each
    /// attached to the segment.
    pub(crate) fn shares(&self, requests: u32, workers: usize) -> BTreeMap<u32, u32> {
        let attach = || {
            let file = self.segment.fd().try_clone_to_owned().expect("a descriptor");
            Segment::attach(file).expect("the same segment")
        };
        let segments: Vec<Segment> = (0..workers).map(|_| attach()).collect();
        let mut shares = BTreeMap::new();
        for segment in segments.iter().cycle().take(requests as usize) {
            let chosen = pick(&self.plan, self.service(), segment, None, 0, self.owner, &Tried::new(), 0);
            *shares.entry(chosen.expect("a backend").0).or_insert(0) += 1;
        }
        shares
    }
}
