//! Three brokers that are controllers as well, each record on all three, acknowledged by two at least.

use super::{Node, free_ports, missing};

/// What differs from Kafka's defaults for speed, beside what a single node has: a broker that is silent for 2 s is taken for
/// dead (9 s).
const SETTINGS: &str = "default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
";

/// Three brokers, each of which may be killed and started again.
pub struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// # Panics
    /// Where none can be started.
    pub fn new() -> Self {
        Self::start().unwrap_or_else(|why| missing(&why))
    }

    fn start() -> Result<Self, String> {
        let ports: Result<Vec<_>, _> = (0..3).map(|_| free_ports()).collect();
        let ports = ports.map_err(|error| format!("free ports: {error}"))?;
        let node = |place: usize| Node::format(place + 1, ports[place], &ports, SETTINGS);
        let mut nodes = (0..3).map(node).collect::<Result<Vec<_>, _>>()?;
        // None of them serves before there are two.
        nodes.iter_mut().try_for_each(Node::run)?;
        nodes.iter().try_for_each(Node::wait)?;
        Ok(Self { nodes })
    }

    /// `host:port` of each, with commas.
    pub fn address(&self) -> String {
        self.nodes.iter().map(Node::address).collect::<Vec<_>>().join(",")
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
