//! A graph as the definition gives it, before it is verified and compiled.

/// What a node does. Numbers in it are indices of the [`GraphSpec`] it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Carries an input of its region.
    Input,
    /// Carries a value known when the workflow was defined; the driver keeps it.
    Constant,
    /// A pure function that the driver evaluates inline.
    Apply,
    /// A step, dispatched from its queue.
    Step,
    /// Exclusive choice: the driver chooses one of the outcomes. Passes its input on to its cases.
    Switch {
        /// How many outcomes there are, at most [`OUTCOMES_MAX`].
        outcomes: u32,
    },
    /// Passes the value of its decision on if the outcome is one of these, else is skipped.
    Case {
        /// Bit n for outcome n.
        taken: u64,
    },
    /// Multi-choice: the driver decides whether its input is passed on (outcome 1) or skipped (0).
    When,
    /// Passes the one input on that is taken.
    Merge,
    /// The taken inputs as a list.
    Collect {
        /// 0 waits for all inputs; else it fires at this many taken ones, and is skipped if none is.
        need: u32,
        /// Whether branches that were not needed are withdrawn when it fires.
        cancel_rest: bool,
    },
    /// Passes the first input on that is taken.
    Race {
        /// Whether the other branches are withdrawn then.
        cancel_rest: bool,
    },
    /// Passes its input on, or nothing if that is skipped.
    Optional,
    /// Whether a tier's value is taken: outcome 0 rejected or the tier failed, 1 accepted, 2 accepted and
    /// explored.
    Accept {
        /// The call instance whose failure it contains.
        contains: u32,
        /// Whether the driver decides; if not, every value is accepted.
        computed: bool,
        /// Share of accepted values that are explored, in 2^-32.
        explore: u32,
    },
    /// Passes its input on; the failure of a call instance becomes skipped.
    Shield {
        /// The call instance.
        contains: u32,
    },
    /// Opens a frame of `body` for each item of its first input; the others are shared.
    Map {
        /// The region.
        body: u32,
        /// Frames under way at once; 0 for all.
        concurrency: u32,
        /// 0 needs all items; else it fires at this many that succeeded.
        need: u32,
        /// Failures that do not fail it; `None` for none, or for as many as `need` leaves.
        tolerated: Option<u32>,
        /// Whether the other frames are withdrawn when `need` is reached.
        cancel_rest: bool,
    },
    /// Opens frames of `body` one after the other, each with the value of the last, until the driver says
    /// so.
    Loop {
        /// The region.
        body: u32,
        /// Iterations at most, at least 1.
        limit: u32,
        /// Whether reaching the limit fails it; else it gives the last value.
        fail: bool,
    },
    /// Opens one frame of `body`, which may be the region it stands in.
    Recurse {
        /// The region.
        body: u32,
        /// How deep frames of `body` may be nested; 0 for no limit of its own.
        limit: u32,
    },
    /// Waits for a signal from outside.
    Signal {
        /// Index of its name.
        signal: u32,
        /// Limit of the wait; 0 for none.
        timeout_ns: u64,
        /// Whether the limit fails it; else it is skipped.
        fail: bool,
    },
    /// Passes its input on after a time.
    Sleep {
        /// How long.
        duration_ns: u64,
    },
    /// Accepts a detached run, by the driver.
    Spawn,
    /// Waits until it holds a concurrency key, for the nodes that name it.
    Acquire {
        /// The key, if it is known when the workflow is defined; else the driver gives it.
        key: Option<u64>,
    },
    /// Withdraws a scope, and passes its input on.
    Cancel {
        /// The scope.
        scope: u32,
    },
    /// Undoes what `of` did: a step that runs only in compensation.
    Undo {
        /// The node.
        of: u32,
    },
}

/// Outcomes a decision may have.
pub const OUTCOMES_MAX: u32 = 64;

/// A node as the definition gives it.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Unique readable path, such as `support/draft`; inside a body, from its region's prefix.
    pub path: String,
    /// What it does.
    pub kind: NodeKind,
    /// Producers of its arguments, in order; one may stand several times.
    pub inputs: Vec<u32>,
    /// Nodes that skip it if they are skipped, without a value.
    pub gates: Vec<u32>,
    /// Nodes it waits for, however they end.
    pub after: Vec<u32>,
    /// The call instance it was drawn in; 0 is the workflow itself.
    pub call: u32,
    /// The innermost scope it was drawn in.
    pub scope: Option<u32>,
    /// The acquire node whose key it needs.
    pub holds: Option<u32>,
}

impl NodeSpec {
    /// A node without gates, drawn in the workflow itself.
    pub fn new(path: &str, kind: NodeKind, inputs: &[u32]) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            inputs: inputs.to_vec(),
            gates: Vec::new(),
            after: Vec::new(),
            call: 0,
            scope: None,
            holds: None,
        }
    }
}

/// A run of nodes that frames are made of: the workflow, or the body of a map, a loop or a recursion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionSpec {
    /// What the paths of its nodes begin with.
    pub prefix: String,
    /// Its first node; the inputs come first.
    pub start: u32,
    /// One past its last node.
    pub stop: u32,
    /// How many of its nodes are inputs.
    pub input_count: u32,
    /// The node that carries its result.
    pub output: u32,
}

/// A stage called inside another, whose nodes stand among those of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSpec {
    /// The call instance it was drawn in; itself for a region's root.
    pub parent: u32,
    /// The node that carries its result.
    pub output: u32,
}

/// A whole graph.
#[derive(Clone, Debug, Default)]
pub struct GraphSpec {
    /// Name of the workflow.
    pub name: String,
    /// Its version.
    pub version: String,
    /// All nodes, region by region; edges stay inside a region.
    pub nodes: Vec<NodeSpec>,
    /// Region 0 is the workflow.
    pub regions: Vec<RegionSpec>,
    /// Call instance 0 is the workflow.
    pub calls: Vec<CallSpec>,
    /// The scope each scope was drawn in.
    pub scopes: Vec<Option<u32>>,
    /// Names of the signals waited for.
    pub signals: Vec<String>,
}

impl GraphSpec {
    /// A graph of one region without calls, scopes or signals.
    pub fn flat(name: &str, version: &str, nodes: Vec<NodeSpec>, output: u32) -> Self {
        let count = nodes.len() as u32;
        let inputs = nodes.iter().filter(|node| node.kind == NodeKind::Input).count() as u32;
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            nodes,
            regions: vec![RegionSpec {
                prefix: name.to_owned(),
                start: 0,
                stop: count,
                input_count: inputs,
                output,
            }],
            calls: vec![CallSpec { parent: 0, output }],
            scopes: Vec::new(),
            signals: Vec::new(),
        }
    }
}

impl NodeKind {
    /// Whether a node carries its value from the start of its frame.
    pub const fn is_source(self) -> bool {
        matches!(self, Self::Input | Self::Constant)
    }

    /// Whether it is executed by attempts that a queue dispatches.
    pub const fn is_step(self) -> bool {
        matches!(self, Self::Step | Self::Undo { .. })
    }

    /// Whether it has a rule of its own for skipped inputs, so that it must hear of each input.
    pub const fn is_join(self) -> bool {
        matches!(self, Self::Merge | Self::Collect { .. } | Self::Race { .. } | Self::Optional)
    }

    /// Whether it carries no value of its own but that of another node.
    pub const fn is_alias(self) -> bool {
        matches!(
            self,
            Self::Switch { .. }
                | Self::Case { .. }
                | Self::When
                | Self::Merge
                | Self::Race { .. }
                | Self::Optional
                | Self::Accept { .. }
                | Self::Shield { .. }
                | Self::Loop { .. }
                | Self::Recurse { .. }
                | Self::Sleep { .. }
                | Self::Cancel { .. }
        )
    }

    /// Whether it carries a value of its own, opens no frames and holds no key.
    pub const fn is_plain(self) -> bool {
        let special = self.is_alias() || self.body().is_some();
        !special && !matches!(self, Self::Acquire { .. } | Self::Undo { .. })
    }

    /// Whether a step's queue or the driver has it as soon as all its edges are taken.
    pub const fn is_started_by_inputs(self) -> bool {
        matches!(
            self,
            Self::Apply
                | Self::Step
                | Self::Switch { .. }
                | Self::When
                | Self::Accept { computed: true, .. }
                | Self::Map { .. }
                | Self::Spawn
                | Self::Acquire { key: None }
        )
    }

    /// How many outcomes a decision may have; 0 for what is none.
    pub const fn outcomes(self) -> u32 {
        match self {
            Self::Switch { outcomes } => outcomes,
            Self::When => 2,
            Self::Accept { .. } => 3,
            _ => 0,
        }
    }

    /// The region its frames are of.
    pub const fn body(self) -> Option<u32> {
        match self {
            Self::Map { body, .. } | Self::Loop { body, .. } | Self::Recurse { body, .. } => {
                Some(body)
            }
            _ => None,
        }
    }
}
