//! Three brokers and a controller, each record on all three, acknowledged by two at least.

use super::{Node, free_ports, missing};

/// What differs from Kafka's defaults for speed, beside what a single node has: a broker that is silent for 3 s is taken for
/// dead (9 s).
const SETTINGS: &str = "broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
";

/// Three brokers, each of which may be killed and started again.
pub struct Cluster {
    /// The brokers, and last the controller, which stays: which brokers are alive is its to say.
    nodes: Vec<Node>,
}

impl Cluster {
    /// # Panics
    /// Where none can be started.
    pub fn new() -> Self {
        Self::start().unwrap_or_else(|why| missing(&why))
    }

    fn start() -> Result<Self, String> {
        let ports = (0..4).map(|_| free_ports()).collect::<Result<Vec<_>, _>>();
        let ports = ports.map_err(|error| format!("free ports: {error}"))?;
        let voter = format!("{SETTINGS}controller.quorum.voters=4@127.0.0.1:{}\n", ports[3][1]);
        let node = |place: usize| {
            let [broker, controller] = ports[place];
            let role = match place {
                3 => format!(
                    "controller\nlisteners=CONTROLLER://127.0.0.1:{controller}\nadvertised.listeners=CONTROLLER://127.0.0.1:{controller}\n"
                ),
                _ => format!("broker\nlisteners=PLAINTEXT://127.0.0.1:{broker}\n"),
            };
            Node::format(place + 1, ports[place], &format!("{voter}process.roles={role}"))
        };
        let mut nodes = (0..4).map(node).collect::<Result<Vec<_>, _>>()?;
        nodes.iter_mut().try_for_each(Node::run)?;
        nodes.iter().try_for_each(Node::wait)?;
        Ok(Self { nodes })
    }

    /// `host:port` of each, with commas.
    pub fn address(&self) -> String {
        self.nodes[..3].iter().map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// Ends these brokers without a word; what they have written stays.
    pub fn kill(&mut self, places: &[usize]) {
        places.iter().for_each(|place| self.nodes[*place].kill());
    }

    /// Starts them again.
    pub fn start_again(&mut self, places: &[usize]) {
        places.iter().for_each(|place| self.nodes[*place].run_again());
        places.iter().for_each(|place| self.nodes[*place].wait().unwrap_or_else(|why| missing(&why)));
    }
}
