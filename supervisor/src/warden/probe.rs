//! Probes of dead backends: a connection every `Alive` until one stands, then the backend lives again. One whose
//! certificate is verified has to show it as well, or it would die again with the next request. One with a `HAport` is
//! probed there as long as it lives, and is dead when nobody answers.
//!
//! Workers mark a backend dead when a connection to it fails; nobody tells the warden. It looks at the table a few
//! times a second, so a freshly dead backend is found, and so is one that was dead when this process was started.

use super::logsink::Sink;
use crate::inheritance::Inheritance;
use ounce_conf::model::Address;
use ounce_core::Plan;
use ounce_core::route::plan::{BackendKind, BackendPlan, PlacePlan};
use ounce_engine::tls::{Greeter, Progress};
use ounce_mem::{BackendId, Segment};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Most probes under way at a time; the others wait for the next look.
const PROBES_MAX: usize = 256;
/// How often the table is looked at: often enough that `Alive` is kept to a fraction, and never in a tight loop.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// A backend that can die.
#[derive(Debug, Clone)]
struct Target {
    row: BackendId,
    /// Its name in the plan, if it is a place of one.
    place: Option<PlacePlan>,
    address: Place,
    /// `HAport`.
    ha_port: Option<SocketAddr>,
    /// `ConnTO`.
    limit: Duration,
    /// What a handshake with it needs, by its place among the greeters; `None` asks for none.
    greeter: Option<usize>,
    /// For people.
    name: String,
}

/// Where a backend is, seen from this process.
#[derive(Debug, Clone)]
enum Place {
    Inet(SocketAddr),
    Unix(PathBuf),
    /// Where the segment says, at the time of the probe.
    Looked,
}

/// What is known of a target between two looks.
#[derive(Debug, Clone, Copy, Default)]
struct Watch {
    /// When to probe it; `None` while it lives and has no `HAport`.
    due_ms: Option<u64>,
    /// A probe of it is under way.
    probing: bool,
}

/// A probe that is over.
struct Probe {
    /// Of which target.
    index: usize,
    /// The era of a place, when the probe began.
    era: Option<u32>,
    verdict: Verdict,
    /// For people.
    name: String,
}

/// Probes for ever.
pub(super) async fn run(of: Arc<Inheritance>, sink: Arc<Sink>) {
    let targets = targets(&of);
    let alive_ms = of.plan.alive_ms.max(1);
    let mut watches = vec![Watch::default(); targets.len()];
    let mut probes: JoinSet<Probe> = JoinSet::new();
    let mut look = tokio::time::interval(Duration::from_millis(alive_ms / 8).clamp(LOOK.0, LOOK.1));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {
                for (index, (target, watch)) in targets.iter().zip(&mut watches).enumerate() {
                    if is_due(&of.segment, target, watch, alive_ms)
                        && probes.len() < PROBES_MAX
                        && let Some((target, era)) = target.now(&of)
                    {
                        watch.probing = true;
                        let of = Arc::clone(&of);
                        let alive = of.segment.backends().status(target.row).alive;
                        probes.spawn(async move {
                            let verdict = target.verdict(alive, &of.greeters).await;
                            Probe { index, era, verdict, name: target.name }
                        });
                    }
                }
            }
            Some(Ok(Probe { index, era, verdict, name })) = probes.join_next() => {
                let now_ms = ounce_sys::clock::monotonic_ms();
                watches[index] = Watch { due_ms: Some(now_ms.saturating_add(alive_ms)), probing: false };
                let (target, backends) = (&targets[index], of.segment.backends());
                // What has moved meanwhile is not where the probe was.
                if era.is_some() && of.segment.places().at(target.row).map(|placed| placed.era) != era {
                    continue;
                }
                if verdict.lives && backends.revive(target.row, now_ms) {
                    sink.problem(&format!("{name} is alive again"));
                }
                if let (true, Some(ha_port)) = (verdict.fails, target.ha_port)
                    && backends.mark_dead(target.row, now_ms)
                {
                    sink.problem(&format!("{name} is dead: nobody answers at its HAport {ha_port}"));
                }
            }
        }
    }
}

/// Whether to probe this backend now.
fn is_due(segment: &Segment, target: &Target, watch: &mut Watch, alive_ms: u64) -> bool {
    let backends = segment.backends();
    let now_ms = ounce_sys::clock::monotonic_ms();
    let first_ms = match (backends.status(target.row).alive, target.ha_port) {
        (true, None) => {
            watch.due_ms = None;
            return false;
        }
        (true, Some(_)) => now_ms.saturating_add(alive_ms),
        // The first probe is `Alive` after the death, not after it was noticed.
        (false, _) => backends.since(target.row).saturating_add(alive_ms),
    };
    let due_ms = *watch.due_ms.get_or_insert(first_ms);
    !watch.probing && now_ms >= due_ms
}

fn targets(of: &Inheritance) -> Vec<Target> {
    let plan = &of.plan;
    let jail = of.config.global.root_jail.as_deref();
    let target = |(index, backend): (usize, &BackendPlan)| match &backend.kind {
        BackendKind::Server { address, connect_ms, ha_port, .. } => {
            let name = named(plan, backend, &backend.name);
            Some(Target {
                row: BackendId(backend.row),
                place: backend.place,
                address: Place::new(address, jail),
                ha_port: *ha_port,
                limit: Duration::from_millis((*connect_ms).max(1)),
                greeter: of.greeters.get(index).is_some_and(Option::is_some).then_some(index),
                name,
            })
        }
        // What is answered here cannot die.
        BackendKind::Name(_)
        | BackendKind::Redirect(_)
        | BackendKind::Error { .. }
        | BackendKind::Success
        | BackendKind::House { .. } => None,
    };
    plan.backends.iter().enumerate().filter_map(target).collect()
}

/// A backend of a service for people.
fn named(plan: &Plan, backend: &BackendPlan, name: &str) -> String {
    let service = plan.service(backend.service);
    match service.name.as_str() {
        "" => format!("backend {name} of service {}", service.index),
        label => format!("backend {name} of service {label}"),
    }
}

impl Place {
    /// Workers see the file system from inside the jail; this process does not.
    fn new(address: &Address, jail: Option<&Path>) -> Place {
        match (address, jail) {
            (Address::Inet(address), _) => Place::Inet(*address),
            (Address::Unix(path), Some(jail)) => {
                Place::Unix(jail.join(path.strip_prefix("/").unwrap_or(path)))
            }
            (Address::Unix(path), None) => Place::Unix(path.clone()),
            (Address::Name(_), _) => Place::Looked,
        }
    }
}

/// What a probe says of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    /// It was dead, and may serve again.
    lives: bool,
    /// It was alive, and must not serve.
    fails: bool,
}

impl Target {
    /// As it is now, and in which era; `None` for a place that has no address.
    fn now(&self, of: &Inheritance) -> Option<(Target, Option<u32>)> {
        let Some(place) = self.place else { return Some((self.clone(), None)) };
        let plan = &of.plan;
        let occupied = of.segment.places().occupied(BackendId(plan.backend(place.name).row));
        let placed = of.segment.places().at(self.row).filter(|_| occupied >> place.number & 1 != 0)?;
        let name = named(plan, plan.backend(place.name), &placed.address.to_string());
        let target = Target { address: Place::Inet(placed.address), name, ..self.clone() };
        Some((target, Some(placed.era)))
    }

    /// Asks at its `HAport`, and if it is dead where it serves too.
    async fn verdict(&self, alive: bool, greeters: &[Option<Greeter>]) -> Verdict {
        let watched = match self.ha_port {
            Some(port) => {
                matches!(tokio::time::timeout(self.limit, TcpStream::connect(port)).await, Ok(Ok(_)))
            }
            None => true,
        };
        let lives = !alive && watched && self.answers(greeters).await;
        Verdict { lives, fails: alive && !watched }
    }

    /// Whether a connection to it stands within its limit, and is with the right backend.
    async fn answers(&self, greeters: &[Option<Greeter>]) -> bool {
        let greeter = self.greeter.and_then(|index| greeters.get(index)?.as_ref());
        let connect = async {
            match &self.address {
                Place::Inet(address) => greet(TcpStream::connect(address).await?, greeter).await,
                Place::Unix(path) => greet(UnixStream::connect(path).await?, greeter).await,
                Place::Looked => Err(io::ErrorKind::AddrNotAvailable.into()),
            }
        };
        matches!(tokio::time::timeout(self.limit, connect).await, Ok(Ok(())))
    }
}

/// Shakes hands with a backend, if that is asked for.
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin, greeter: Option<&Greeter>) -> io::Result<()> {
    let Some(greeter) = greeter else { return Ok(()) };
    let mut greeting = greeter.greet().ok_or(io::ErrorKind::OutOfMemory)?;
    let mut bytes = [0; 4096];
    let mut progress = greeting.received(&[]);
    loop {
        stream.write_all(&greeting.output()).await?;
        match progress {
            Progress::Done => return Ok(()),
            Progress::Failed => return Err(io::ErrorKind::InvalidData.into()),
            Progress::Going => {}
        }
        match stream.read(&mut bytes).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => progress = greeting.received(&bytes[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lost::Lost;
    use super::super::tests::inheritance;
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::unix::pipe::Receiver;

    /// A prober with a short `Alive`, and a pipe with its problem lines.
    fn start(text: &str) -> (Arc<Inheritance>, tokio::task::JoinHandle<()>, BufReader<Receiver>) {
        let mut of = inheritance(text);
        let plan = Arc::get_mut(&mut of.plan).unwrap();
        plan.alive_ms = 50;
        let (problems, problems_in) = io::pipe().unwrap();
        let (lost, _) = Lost::counted();
        let sink = Sink::streams(problems_in.as_fd(), problems_in.as_fd(), lost).unwrap();
        let of = Arc::new(of);
        let task = tokio::spawn(run(Arc::clone(&of), Arc::new(sink)));
        (of, task, BufReader::new(Receiver::from_owned_fd(problems.into()).unwrap()))
    }

    fn target(address: Place) -> Target {
        let (row, name) = (BackendId(0), "backend".to_owned());
        let limit = Duration::from_secs(10);
        Target { row, place: None, address, ha_port: None, limit, greeter: None, name }
    }

    /// It dies twice, and is found again each time without anybody telling.
    #[tokio::test]
    async fn a_dead_backend_that_answers_lives_again() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let port = address.port();
        let text = format!("Service \"a\"\nBackEnd\nAddress 127.0.0.1\nPort {port}\nEnd\nEnd\n");
        let (of, task, mut problems) = start(&text);
        let id = BackendId(of.plan.backends[0].row);
        for _ in 0..2 {
            assert!(of.segment.backends().mark_dead(id, ounce_sys::clock::monotonic_ms()));
            let mut line = String::new();
            problems.read_line(&mut line).await.unwrap();
            assert!(line.ends_with(&format!("backend {address} of service a is alive again\n")), "{line}");
            assert!(of.segment.backends().status(id).alive);
        }
        task.abort();
    }

    /// Not before `Alive` has passed since the death, not while a probe is under way, and never while it lives.
    #[test]
    fn a_probe_is_due_alive_after_the_death() {
        let of = inheritance("Service\nBackEnd\nAddress 127.0.0.1\nPort 9\nEnd\nEnd\n");
        let target = &targets(&of)[0];
        let (segment, id) = (&of.segment, target.row);
        let now_ms = ounce_sys::clock::monotonic_ms();
        let mut watch = Watch::default();
        assert!(!is_due(segment, target, &mut watch, 1));
        segment.backends().mark_dead(id, now_ms);
        assert!(!is_due(segment, target, &mut watch, 600_000));
        assert_eq!(watch.due_ms, Some(now_ms + 600_000));
        watch.due_ms = Some(now_ms);
        assert!(is_due(segment, target, &mut watch, 600_000));
        watch.probing = true;
        assert!(!is_due(segment, target, &mut watch, 600_000));
        segment.backends().revive(id, now_ms);
        assert!(!is_due(segment, target, &mut watch, 600_000));
        assert_eq!(watch.due_ms, None);
    }

    #[tokio::test]
    async fn only_a_connection_that_stands_is_an_answer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app");
        let unix = target(Place::Unix(path.clone()));
        assert!(!unix.answers(&[]).await);
        let server = UnixListener::bind(&path).unwrap();
        assert!(unix.answers(&[]).await);
        drop(server);
        assert!(!unix.answers(&[]).await);
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = target(Place::Inet(server.local_addr().unwrap()));
        assert!(tcp.answers(&[]).await);
        drop(server);
        assert!(!tcp.answers(&[]).await);
    }

    /// A backend that lives is asked at its `HAport` only, and a dead one must answer at both.
    #[tokio::test]
    async fn a_backend_lives_as_long_as_its_ha_port_answers() {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (server, other) = (bind(), bind());
        let mut target = target(Place::Inet(server.local_addr().unwrap()));
        target.ha_port = Some(other.local_addr().unwrap());
        let verdict = |lives, fails| Verdict { lives, fails };
        assert_eq!(target.verdict(true, &[]).await, verdict(false, false));
        assert_eq!(target.verdict(false, &[]).await, verdict(true, false));
        drop(server);
        assert_eq!(target.verdict(true, &[]).await, verdict(false, false));
        assert_eq!(target.verdict(false, &[]).await, verdict(false, false));
        drop(other);
        assert_eq!(target.verdict(true, &[]).await, verdict(false, true));
    }

    #[test]
    fn unix_backends_are_looked_for_inside_the_jail() {
        let address = Address::Unix("/run/app".into());
        let Place::Unix(path) = Place::new(&address, Some(Path::new("/srv/jail"))) else { panic!() };
        assert_eq!(path, Path::new("/srv/jail/run/app"));
        let Place::Unix(path) = Place::new(&address, None) else { panic!() };
        assert_eq!(path, Path::new("/run/app"));
    }
}
