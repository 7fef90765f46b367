//! The checked pipeline as a directed acyclic graph. The only file that names petgraph.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use millstream_dsl::Span;
use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;

use crate::plan::catalog::Endpoint;
use crate::plan::context::Port;
use crate::plan::edge::Edge;
use crate::plan::operator::{Distribution, Operator};
use crate::plan::settings::Settings;

/// A checked pipeline.
#[derive(Debug, Default)]
pub struct Plan {
    /// The `pipeline` statement.
    pub header: Header,
    graph: StableDiGraph<PlanNode, Link>,
    streams: BTreeMap<String, (NodeIndex, Port)>,
}

/// The `pipeline` statement, checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Header {
    /// The pipeline's name.
    pub name: String,
    /// The batch interval in microseconds; zero: as soon as possible.
    pub every: i64,
    /// Where the checkpoint lies.
    pub checkpoint: Option<PathBuf>,
    /// The zone for reading and printing times.
    pub zone: Option<String>,
    /// All settings, these included.
    pub settings: Settings,
}

/// One operation.
#[derive(Debug)]
pub struct PlanNode {
    /// The stream it belongs to (the source's own name for a source).
    pub stream: String,
    /// `stream / call path / kind / ordinal`, or the name given by `named`.
    pub identity: String,
    /// What it does.
    pub work: Work,
    /// What leaves it, by port.
    pub outputs: BTreeMap<Port, Edge>,
    /// What happens to the rows of a port that nobody reads; counted and dropped where it is not said.
    pub fates: BTreeMap<Port, RowFate>,
    /// What is written for edits that would give its state another meaning: `keep`, `reset`, `drain`.
    pub on_change: Option<String>,
    /// How it is run; `optimize` says so.
    pub run: Running,
    /// Where it is written.
    pub span: Span,
}

/// How a node is run, beside what it computes. The default is the plain way: every operator by itself, every shuffle
/// made. No choice here changes a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// In one pass with the row-wise operator it reads, whose only reader it is.
    pub fused: bool,
    /// Cut in two at its shuffle ([`Operator::halves`]).
    pub halved: bool,
    /// Its first half is that of another node, which reads the same rows: that node's partial results are used.
    pub first_half_of: Option<NodeId>,
    /// Inputs whose rows are already where they belong, so that no shuffle is made.
    pub in_place: BTreeSet<usize>,
    /// Columns that nobody reads: of a source its decoder need not build them, and a shuffle need not move them. They
    /// are hollow then: of the right type and length, without meaning.
    pub unread: BTreeSet<usize>,
    /// Operators of other streams that do the same and were taken out: this one does it for all of them.
    pub stands_for: Vec<Twin>,
}

/// An operator that another one stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The stream it belongs to.
    pub stream: String,
    /// Its identity.
    pub identity: String,
}

/// What was said about rows that do not go the straight way: `bad drop`, `rejected fail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFate {
    /// Counted and dropped.
    Drop,
    /// What failed becomes null and the row goes on; sources only.
    Null,
    /// The pipeline stops.
    Fail,
}

/// What a node does.
#[derive(Debug)]
pub enum Work {
    /// Brings rows in.
    Source(Endpoint),
    /// Reference data, read anew when it changes.
    Table(Endpoint),
    /// Changes rows.
    Operator(Arc<dyn Operator>),
    /// Takes rows out.
    Sink(Endpoint),
}

/// From an output to an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which output of the node it comes from.
    pub port: Port,
    /// Which input of the node it goes to, from 0.
    pub input: usize,
}

/// A node's name within its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NodeIndex);

impl Plan {
    /// Adds an operation.
    pub fn add(&mut self, node: PlanNode) -> NodeId {
        NodeId(self.graph.add_node(node))
    }

    /// Connects an output to an input.
    pub fn connect(&mut self, from: NodeId, port: Port, to: NodeId, input: usize) {
        self.graph.add_edge(from.0, to.0, Link { port, input });
    }

    /// Gives an output a name.
    pub fn name(&mut self, stream: impl Into<String>, node: NodeId, port: Port) {
        self.streams.insert(stream.into(), (node.0, port));
    }

    /// The output of that name.
    pub fn stream(&self, name: &str) -> Option<(NodeId, &Port)> {
        self.streams.get(name).map(|(node, port)| (NodeId(*node), port))
    }

    /// Every named output.
    pub fn streams(&self) -> impl Iterator<Item = (&str, NodeId, &Port)> {
        self.streams.iter().map(|(name, (node, port))| (name.as_str(), NodeId(*node), port))
    }

    /// An operation.
    pub fn node(&self, id: NodeId) -> &PlanNode {
        &self.graph[id.0]
    }

    /// An operation, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut PlanNode {
        &mut self.graph[id.0]
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.graph.node_count() == 0
    }

    /// Takes an operation out, with its connections. Its outputs must have no names any more.
    pub fn remove(&mut self, id: NodeId) -> Option<PlanNode> {
        self.graph.remove_node(id.0)
    }

    /// Lets everybody who reads an output, and its names, go by another one.
    pub fn redirect(&mut self, from: (NodeId, &Port), to: (NodeId, &Port)) {
        let links: Vec<_> = self.graph.edges(from.0.0).filter(|e| e.weight().port == *from.1).map(|e| e.id()).collect();
        for link in links {
            let Some((_, reader)) = self.graph.edge_endpoints(link) else { continue };
            if let Some(Link { input, .. }) = self.graph.remove_edge(link) {
                self.graph.add_edge(to.0.0, reader, Link { port: to.1.clone(), input });
            }
        }
        for (node, port) in self.streams.values_mut() {
            if *node == from.0.0 && *port == *from.1 {
                (*node, *port) = (to.0.0, to.1.clone());
            }
        }
    }

    /// Lets an input read another output.
    pub fn rewire(&mut self, from: (NodeId, &Port), to: NodeId, input: usize) {
        let links = self.graph.edges_directed(to.0, Direction::Incoming);
        let old: Vec<_> = links.filter(|e| e.weight().input == input).map(|e| e.id()).collect();
        for link in old {
            self.graph.remove_edge(link);
        }
        self.connect(from.0, from.1.clone(), to, input);
    }

    /// Takes the names of an output away.
    pub fn forget_names(&mut self, id: NodeId, port: &Port) {
        self.streams.retain(|_, (node, named)| *node != id.0 || named != port);
    }

    /// Every operation, each after those it reads from. Deterministic: ties go by the order of adding.
    pub fn ordered(&self) -> Vec<NodeId> {
        let mut missing: BTreeMap<NodeIndex, usize> =
            self.graph.node_indices().map(|n| (n, self.graph.edges_directed(n, Direction::Incoming).count())).collect();
        let mut ready: BTreeSet<NodeIndex> =
            missing.iter().filter(|(_, count)| **count == 0).map(|(n, _)| *n).collect();
        let mut ordered = Vec::with_capacity(missing.len());
        while let Some(next) = ready.pop_first() {
            for edge in self.graph.edges(next) {
                if let Some(count) = missing.get_mut(&edge.target()) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(edge.target());
                    }
                }
            }
            ordered.push(NodeId(next));
        }
        ordered
    }

    /// What a node reads: in the order of its inputs, each with the output it comes from.
    pub fn inputs(&self, id: NodeId) -> Vec<(NodeId, &Port)> {
        let mut found: Vec<_> = self
            .graph
            .edges_directed(id.0, Direction::Incoming)
            .map(|e| (e.weight().input, NodeId(e.source()), &e.weight().port))
            .collect();
        found.sort_by_key(|(input, _, _)| *input);
        found.into_iter().map(|(_, node, port)| (node, port)).collect()
    }

    /// The numbers of a node's inputs, ascending: from 0 without a gap in a sound plan.
    pub fn input_numbers(&self, id: NodeId) -> Vec<usize> {
        let links = self.graph.edges_directed(id.0, Direction::Incoming);
        let mut numbers: Vec<_> = links.map(|e| e.weight().input).collect();
        numbers.sort_unstable();
        numbers
    }

    /// What flows into an input.
    pub fn input_edge(&self, id: NodeId, input: usize) -> Option<&Edge> {
        let (from, port) = self.inputs(id).into_iter().nth(input)?;
        self.edge(from, port)
    }

    /// Whether rows leave a node in an order that depends on how many partitions there are. Where the order matters
    /// the engine puts such rows into one that follows from all their columns.
    pub fn is_loose(&self, id: NodeId) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let Work::Operator(operator) = &self.node(id).work else { continue };
            let properties = operator.properties();
            // A computed key gathers all rows in one place, or, cut in two, by what the first half computed.
            let halves = operator.halves().map(|(_, second)| second.properties().distribution);
            match halves.unwrap_or(properties.distribution) {
                Distribution::ByKey(_) | Distribution::Partitions { .. } => return true,
                Distribution::Single if properties.order_matters => {}
                Distribution::Any | Distribution::Single | Distribution::Beside { .. } if seen.insert(id) => {
                    open.extend(self.inputs(id).into_iter().map(|(from, _)| from));
                }
                Distribution::Any | Distribution::Single | Distribution::Beside { .. } => {}
            }
        }
        false
    }

    /// Who reads a node: in the order of adding.
    pub fn readers(&self, id: NodeId) -> Vec<(NodeId, &Link)> {
        let mut found: Vec<_> = self.graph.edges(id.0).map(|e| (NodeId(e.target()), e.weight())).collect();
        found.sort_by_key(|(node, link)| (*node, link.input));
        found
    }

    /// What flows along an output.
    pub fn edge(&self, id: NodeId, port: &Port) -> Option<&Edge> {
        self.graph[id.0].outputs.get(port)
    }
}
