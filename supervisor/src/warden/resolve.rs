//! Names of backends: looked up when this process starts, and again whenever an answer has expired.
//!
//! What is known stays in use until there is a better answer: a name server that is gone, slow, or says that there is no
//! such name changes nothing. Nobody waits for a lookup but the start, which waits a moment for names of which nothing
//! is known.

use super::logsink::Sink;
use super::lookup::{Answer, Asker};
use super::seats::{Change, Seats};
use crate::inheritance::Inheritance;
use ounce_conf::model::{DynamicName, Resolver};
use ounce_core::route::plan::{BackendIx, BackendKind};
use ounce_mem::Phase;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

/// Most lookups under way at a time.
const LOOKUPS_MAX: usize = 64;
/// How long an answer holds at least and at most: name servers say 0, and they say 68 years.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
/// How long the start waits for names of which nothing is known.
pub(super) const FIRST_MAX: Duration = Duration::from_secs(3);
/// Where this machine says who is asked.
const SYSTEM: &str = "/etc/resolv.conf";
/// How many addresses a line tells.
const SHOWN_MAX: usize = 8;

/// Everything that the lookups of all names have in common.
struct Common {
    of: Arc<Inheritance>,
    sink: Arc<Sink>,
    places: Semaphore,
    asker: Mutex<Option<(Option<SystemTime>, Asker)>>,
}

/// Looks names up for ever, each in a task of its own. The channel closes when each name has had its first answer, or the
/// lack of one.
pub(super) fn start(of: &Arc<Inheritance>, sink: &Arc<Sink>) -> (Vec<JoinHandle<()>>, Receiver<()>) {
    let (waiting, done) = mpsc::channel(1);
    let common = Arc::new(Common {
        of: Arc::clone(of),
        sink: Arc::clone(sink),
        places: Semaphore::new(LOOKUPS_MAX),
        asker: Mutex::new(None),
    });
    let names = (0..of.plan.backends.len() as u32)
        .map(BackendIx)
        .filter(|&ix| matches!(of.plan.backend(ix).kind, BackendKind::Name(_)));
    let tasks = names.map(|ix| tokio::spawn(keep(Arc::clone(&common), ix, waiting.clone()))).collect();
    (tasks, done)
}

/// Keeps one name up to date.
async fn keep(common: Arc<Common>, ix: BackendIx, waiting: Sender<()>) {
    let plan = &common.of.plan;
    let (Some(seats), BackendKind::Name(name)) =
        (Seats::of(plan, &common.of.segment, ix), &plan.backend(ix).kind)
    else {
        return;
    };
    let name = &name.name;
    let shown = common.shown(ix);
    // Who is known already is not waited for.
    let mut waiting = Some(waiting).filter(|_| seats.occupied() == 0);
    let mut trouble = Trouble::default();
    loop {
        let wait = if seats.occupied() != 0 && !common.leads() {
            TTL.0
        } else {
            let answered = common.ask(name).await;
            common.digest(answered, name, &shown, seats, &mut trouble)
        };
        // The first answer is there, or the lack of one.
        drop(waiting.take());
        tokio::time::sleep(wait).await;
    }
}

/// What was wrong with a name lately.
#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    /// The last reason that was told.
    told: Option<String>,
    /// How many addresses had no place.
    left_out: usize,
}

impl Common {
    /// A name for people.
    fn shown(&self, ix: BackendIx) -> String {
        let backend = self.of.plan.backend(ix);
        let service = self.of.plan.service(backend.service);
        match service.name.as_str() {
            "" => format!("backend {} of service {}", backend.name, service.index),
            label => format!("backend {} of service {label}", backend.name),
        }
    }

    /// No younger generation has a warden that does this: two would answer each other's changes.
    fn leads(&self) -> bool {
        let alive = |phase| matches!(phase, Phase::Starting | Phase::Ready);
        let mut members = self.of.segment.fleet().iter();
        !members.any(|member| alive(member.phase) && member.generation > self.of.generation)
    }

    fn settings(&self) -> &Resolver {
        &self.of.config.global.resolver
    }

    async fn ask(&self, name: &DynamicName) -> Result<Answer, String> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        self.asker()?.ask(name).await
    }

    /// Who is asked now: this machine's choice may change at any time.
    fn asker(&self) -> Result<Asker, String> {
        let given = self.settings().servers.as_ref();
        let changed = match given {
            Some(_) => None,
            None => std::fs::metadata(Path::new(SYSTEM)).and_then(|file| file.modified()).ok(),
        };
        let mut known = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, asker)) = &*known
            && *when == changed
        {
            return Ok(asker.clone());
        }
        let servers = given.cloned().unwrap_or_else(ounce_conf::system_name_servers);
        let asker = Asker::new(&servers, self.settings().cname_chain)?;
        *known = Some((changed, asker.clone()));
        Ok(asker)
    }

    /// Does what an answer, or the lack of one, asks for; returns how long to wait for the next.
    fn digest(
        &self,
        answered: Result<Answer, String>,
        name: &DynamicName,
        shown: &str,
        seats: Seats<'_>,
        trouble: &mut Trouble,
    ) -> Duration {
        let retry = name.retry.unwrap_or(self.settings().retry);
        let expiry_ms = |wait: Duration| {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            ounce_sys::clock::monotonic_ms().saturating_add(wait_ms)
        };
        match answered {
            Ok(Answer { found, ttl_s, whole }) => {
                let said = name.override_ttl.unwrap_or(Duration::from_secs(u64::from(ttl_s)));
                let mut wait = said.clamp(TTL.0, TTL.1);
                if !whole {
                    wait = wait.min(retry);
                }
                let change = seats.take(&found, whole, expiry_ms(wait));
                self.tell(change, found.len(), shown, seats, trouble);
                trouble.failures = 0;
                wait
            }
            Err(reason) => {
                // While nothing is known nobody is served, and the lookup may have failed by chance.
                let soon = Duration::from_secs(1 << trouble.failures.min(10));
                let wait = if seats.occupied() == 0 { retry.min(soon) } else { retry };
                trouble.failures = trouble.failures.saturating_add(1);
                seats.hold(expiry_ms(wait));
                if self.settings().debug || trouble.told.as_ref() != Some(&reason) {
                    let kept = match seats.addresses().len() {
                        0 => "no address is known".to_owned(),
                        count => format!("{count} known before are used"),
                    };
                    self.sink.problem(&format!("{shown} was not found: {reason}; {kept}"));
                }
                trouble.told = Some(reason);
                wait
            }
        }
    }

    fn tell(&self, change: Change, count: usize, shown: &str, seats: Seats<'_>, trouble: &mut Trouble) {
        let failed = trouble.told.take().is_some();
        if failed || self.settings().debug {
            let addresses = seats.addresses();
            let told: Vec<String> = addresses.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
            let more = if addresses.len() > SHOWN_MAX { " …" } else { "" };
            let told = told.join(" ");
            let Change { come, gone, .. } = change;
            self.sink.problem(&format!("{shown} was found: {told}{more} ({come} new, {gone} gone)"));
        }
        if change.left_out > 0 && trouble.left_out == 0 {
            let left_out = change.left_out;
            self.sink.problem(&format!("{shown} has {count} addresses; {left_out} of them are not used"));
        }
        trouble.left_out = change.left_out;
    }
}
