//! What forward passes leave for the backward pass.
//!
//! The forward pass of a network that is trained is cut into segments: each layer, and the last
//! norm. What enters a segment is a leaf of its graph, so that a segment's graph may be kept, or
//! built again when the gradient has come down to it.

use std::cell::RefCell;

use tch::Tensor;

use super::rotary::Rotary;

/// What the layers of a pass share.
#[derive(Debug)]
pub(crate) struct Places {
    /// B and T.
    pub(super) size: [i64; 2],
    pub(super) rotary: Rotary,
    /// `[M]` of N: the places that are needed after the last layer; absent: all.
    pub(super) wanted: Option<Tensor>,
}

/// The passes that no backward pass has used yet.
#[derive(Debug)]
pub(crate) struct RecordedPasses {
    /// Whether a layer's graph is built again instead of kept.
    pub recompute: bool,
    forward: RefCell<Vec<ForwardPass>>,
    heads: RefCell<Vec<HeadPass>>,
}

/// One forward pass through the layers.
#[derive(Debug)]
pub(crate) struct ForwardPass {
    /// `[N]` tokens, row by row.
    pub ids: Tensor,
    /// Their positions.
    pub places: Places,
    /// What entered each segment: leaves.
    pub inputs: Vec<Tensor>,
    /// What left each, with its graph; absent where that is to be built again.
    pub outputs: Vec<Option<Tensor>>,
    /// What left the last norm: the leaf where the graph of the loss begins.
    pub hidden: Tensor,
}

/// One softmax over a vocabulary.
#[derive(Debug)]
pub(crate) struct HeadPass {
    /// `[M, C]` hidden states that went in.
    pub hidden: Tensor,
    /// The head's rows that are in the softmax, `[count, C]`.
    pub rows: Tensor,
    /// Which they are; absent: all.
    pub tokens: Option<Tensor>,
    /// `[M, count]` log-probabilities.
    pub all: Tensor,
    /// `[M]` indices of the targets among the rows.
    pub targets: Tensor,
    /// `[M]` log-probabilities of the targets: the leaf where the graph of the loss begins.
    pub log_probabilities: Tensor,
}

impl RecordedPasses {
    /// No passes yet.
    pub(crate) fn new(recompute: bool) -> Self {
        Self {
            recompute,
            forward: RefCell::default(),
            heads: RefCell::default(),
        }
    }

    pub(super) fn push(&self, pass: ForwardPass) {
        self.forward.borrow_mut().push(pass);
    }

    /// Records a softmax.
    pub(crate) fn push_head(&self, pass: HeadPass) {
        self.heads.borrow_mut().push(pass);
    }

    /// Removes and returns all passes, in the order in which they were made.
    pub(crate) fn take(&self) -> (Vec<ForwardPass>, Vec<HeadPass>) {
        (self.forward.take(), self.heads.take())
    }
}
