//! A TCP connection that a test can hold up or cut: a process that reaches its brokers through it is in a network of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::broker::Node;

/// What becomes of what is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Network {
    Whole,
    /// Connections stay, and take what is sent; it arrives when the network is whole again.
    Stalled,
    /// What the process sends arrives, the answers only when the network is whole again.
    Deaf,
    /// Deaf from the next [`ADD_PARTITIONS_TO_TXN`] on, which arrives: a transaction is open then, and nobody goes on with it.
    DeafInTransaction,
    /// Connections end, and new ones end at once.
    Cut,
    /// The proxy is no longer wanted.
    Over,
}

/// The API key of the request that opens a transaction at the broker (Kafka protocol).
const ADD_PARTITIONS_TO_TXN: u16 = 24;

const TURN: Duration = Duration::from_millis(20);

/// Ends with its drop.
pub struct Proxy {
    port: u16,
    network: Arc<AtomicU8>,
}

impl Proxy {
    /// Takes connections for `127.0.0.1:to`.
    pub fn new(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Arc::new(AtomicU8::new(Network::Whole as u8));
        let state = Arc::clone(&network);
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            while is_not(&state, Network::Over) {
                match listener.accept() {
                    Ok((near, _)) if is_not(&state, Network::Cut) => connect(near, to, &state),
                    Ok(_) => {}
                    Err(_) => thread::sleep(TURN),
                }
            }
        });
        Self { port, network }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, network: Network) {
        self.network.store(network as u8, Ordering::Relaxed);
    }

    /// Waits until the network is such.
    pub fn wait_for(&self, network: Network) {
        let until = Instant::now() + Duration::from_secs(30);
        while is_not(&self.network, network) {
            assert!(Instant::now() < until, "the network never became {network:?}");
            thread::sleep(TURN);
        }
    }
}

/// A broker with a second listener that is reached through a proxy only; the first one's address.
pub fn behind_a_proxy() -> (Node, String, Proxy) {
    let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = held.iter().map(|held| held.local_addr().unwrap().port()).collect();
    drop(held);
    let [plain, controller, far] = ports[..] else { unreachable!() };
    let proxy = Proxy::new(far);
    let node = Node::new(&format!(
        "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},FAR://127.0.0.1:{far}
controller.quorum.voters=1@127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},FAR://127.0.0.1:{}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,FAR:PLAINTEXT
",
        proxy.port()
    ));
    (node, format!("127.0.0.1:{plain}"), proxy)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Network::Over);
    }
}

fn is_not(state: &AtomicU8, network: Network) -> bool {
    state.load(Ordering::Relaxed) != network as u8
}

fn connect(near: TcpStream, to: u16, state: &Arc<AtomicU8>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { return };
    for (from, to, is_answer) in [(&near, &far, false), (&far, &near, true)] {
        let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(state));
        from.set_nonblocking(false).unwrap();
        from.set_nodelay(true).unwrap();
        from.set_read_timeout(Some(TURN)).unwrap();
        thread::spawn(move || pass(from, to, is_answer, &state));
    }
}

/// Passes bytes on in one direction until either side ends.
fn pass(mut from: TcpStream, mut to: TcpStream, is_answer: bool, state: &AtomicU8) {
    let mut bytes = vec![0; 64 << 10];
    while is_not(state, Network::Cut) && is_not(state, Network::Over) {
        let count = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        if !is_answer && !is_not(state, Network::DeafInTransaction) && api_key(&bytes[..count]) == ADD_PARTITIONS_TO_TXN
        {
            state.store(Network::Deaf as u8, Ordering::Relaxed);
        }
        while !is_not(state, Network::Stalled) || is_answer && !is_not(state, Network::Deaf) {
            thread::sleep(TURN);
        }
        // What was held up arrives late, even where the connection is cut behind it.
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// The API key of a request whose bytes begin here; requests of one connection wait for each other's answers or come in
/// pieces of their own, so that most reads begin with one.
fn api_key(bytes: &[u8]) -> u16 {
    bytes.get(4..6).map_or(0, |key| u16::from_be_bytes([key[0], key[1]]))
}
