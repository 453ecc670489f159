//! A crowd that comes at once, and somebody who has been here before.

use crate::line::{self, Line};
use crate::scene::{Stage, address};
use ounce_sys::sim::{Far, FarRead, Faults, SimNet};
use std::cell::Cell;
use std::rc::Rc;

/// How many come at once.
const CROWD: usize = 100;

/// How many of them may be served before the one request that comes behind them.
const BEFORE: usize = 10;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

fn config() -> String {
    format!(
        "LogFacility -\nListenHTTPS\nCert \"{}\"\nAddress 10.0.0.1\nPort 80\nClient 30\n\
         Service\nBackEnd\nAddress 10.1.0.1\nPort 8001\nEnd\nEnd\nEnd\n",
        line::pem().display()
    )
}

/// Those outside.
struct Outside {
    regular: Line,
    /// What the regular got.
    got: Vec<u8>,
    asked: usize,
    crowd: Vec<Line>,
    origin: Option<Far>,
    heard: Vec<u8>,
}

impl Outside {
    fn new(net: &SimNet) -> Outside {
        let line = || Line::client(net.connect(&address("10.0.0.1:80")).expect("a listener"), true);
        let crowd = (0..CROWD).map(|_| line()).collect();
        Outside { regular: line(), got: Vec::new(), asked: 0, crowd, origin: None, heard: Vec::new() }
    }

    /// Answers each request at once.
    fn serve(&mut self, net: &SimNet) {
        self.origin = self.origin.or_else(|| net.accept(&address("10.1.0.1:8001")));
        let Some(origin) = self.origin else { return };
        while let FarRead::Bytes(bytes) = net.read(origin, 1000) {
            self.heard.extend(bytes);
        }
        while let Some(end) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") {
            self.heard.drain(..end + 4);
            net.write(origin, ANSWER).expect("room");
        }
    }

    /// Whether the regular has so many answers.
    fn has(&mut self, net: &SimNet, answers: usize) -> bool {
        while let FarRead::Bytes(bytes) = self.regular.read(net, 1000) {
            self.got.extend(bytes);
        }
        self.got.windows(3).filter(|three| three == b"yes").count() == answers
    }

    /// The regular asks.
    fn ask(&mut self, net: &SimNet) {
        if self.asked < REQUEST.len() {
            self.asked += self.regular.write(net, &REQUEST[self.asked..]).expect("a connection");
        }
    }
}

/// All of a crowd greet in one turn, and the request of an older connection comes behind them: it does not wait until all
/// have had their turn. They have it all the same.
#[test]
fn a_crowd_keeps_nobody_waiting() {
    let net = SimNet::with_faults(1, Faults::none());
    net.listen(&address("10.1.0.1:8001"));
    let over = Rc::new(Cell::new(false));
    let told = Rc::clone(&over);
    let (mut outside, mut stage) = (None, 0);
    net.set_outside(move |net| {
        if told.get() {
            return;
        }
        let outside = outside.get_or_insert_with(|| Outside::new(net));
        outside.serve(net);
        outside.ask(net);
        match stage {
            0 if outside.has(net, 1) => {
                stage = 1;
                for line in &mut outside.crowd {
                    assert_eq!(line.write(net, b"a"), Ok(0), "hands are shaken first");
                }
                outside.asked = 0;
                outside.ask(net);
            }
            1 if outside.has(net, 2) => {
                stage = 2;
                let served = outside.crowd.iter().filter(|line| line.available(net)).count();
                assert!(served <= BEFORE, "{served} of the crowd came first");
            }
            2 if outside.crowd.iter().all(|line| line.available(net)) => {
                outside.crowd.drain(..).for_each(|line| line.vanish(net));
                net.close(outside.origin.expect("a connection"));
                told.set(true);
            }
            _ => {}
        }
        assert!(net.now().mono_us < 20_000_000, "it never ends: stage {stage}");
        net.wake_at(net.now().mono_us + 10_000);
    });
    Stage { seed: 1, clients_max: 256, pages: 4096 }.serve(&net, &config(), || over.get());
}
