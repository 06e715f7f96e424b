//! Gradients in one buffer.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::model::decoder::Leaf;
use crate::model::layout::{ALIGNMENT, Weights};

/// The sum of gradients of one step in 32 bits, laid out as the weights are.
#[derive(Debug)]
pub(crate) struct Gradients {
    /// `[elements]`; what no gradient has reached holds anything.
    pub flat: Tensor,
    /// First element -> end, of what a gradient has reached since [`Gradients::clear`].
    reached: BTreeMap<i64, i64>,
}

/// Neighbouring parameters that gradients have reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    /// First element.
    pub from: i64,
    /// Elements.
    pub len: i64,
    /// Whether weight decay is for them.
    pub is_decayed: bool,
    /// The fraction of the learning rate at which they learn.
    pub rate: f64,
}

impl Gradients {
    /// A buffer for the gradients of `weights`.
    pub(crate) fn new(weights: &Weights) -> Self {
        Self {
            flat: weights.flat.zeros_like(),
            reached: BTreeMap::new(),
        }
    }

    /// Begins a new sum.
    pub(crate) fn clear(&mut self) {
        self.reached.clear();
    }

    /// The place of a parameter, and whether a gradient has reached it before.
    fn place(&mut self, leaf: &Leaf) -> (Tensor, bool) {
        let dims = leaf.value.size();
        let elements: i64 = dims.iter().product();
        let end = leaf.offset + elements;
        let before = self.reached.insert(leaf.offset, end).is_some();
        let place = self.flat.narrow(0, leaf.offset, elements);
        (place.view(dims.as_slice()), before)
    }

    /// Adds a parameter's gradient.
    pub(crate) fn add(&mut self, leaf: &Leaf, gradient: &Tensor) {
        no_grad(|| match self.place(leaf) {
            (mut place, true) => drop(place.g_add_(gradient)),
            (mut place, false) => place.copy_(gradient),
        });
    }

    /// Adds gradients of some of a matrix's rows; a row may come several times.
    pub(crate) fn add_rows(&mut self, leaf: &Leaf, rows: &Tensor, gradient: &Tensor) {
        no_grad(|| {
            let (mut place, before) = self.place(leaf);
            if !before {
                let _ = place.zero_();
            }
            let _ = place.index_add_(0, rows, gradient);
        });
    }

    /// Adds the product a b as a matrix's gradient.
    pub(crate) fn add_product(&mut self, leaf: &Leaf, a: &Tensor, b: &Tensor) {
        no_grad(|| {
            let is_f32 = a.kind() == Kind::Float;
            match self.place(leaf) {
                (mut place, true) if is_f32 => drop(place.addmm_(a, b)),
                (place, false) if is_f32 => drop(a.mm_out(&place, b)),
                (mut place, true) => drop(place.g_add_(&a.mm(b))),
                (mut place, false) => place.copy_(&a.mm(b)),
            }
        });
    }

    /// Adds up the gradients of all processes of `group`; each then has them all.
    ///
    /// # Errors
    /// As [`ProcessGroup::sum`].
    pub(crate) fn sum_over(
        &mut self,
        group: &ProcessGroup,
        weights: &Weights,
    ) -> Result<(), TrainError> {
        if group.size() == 1 {
            return Ok(());
        }
        let entries = &weights.layout.entries;
        let own = entries.iter().map(|entry| {
            let found = self.of(entry.offset, entry.elements());
            u8::from(found.is_some())
        });
        let own: Vec<u8> = own.collect();
        let mut any = own.clone();
        group.unite(&mut any);
        // A process without rows has nothing to add, and its buffer holds anything.
        let missing = entries.iter().zip(own.iter().zip(&any));
        for (entry, _) in missing.filter(|(_, (own, any))| own < any) {
            let end = entry.offset + entry.elements();
            self.reached.insert(entry.offset, end);
            let mut place = self.flat.narrow(0, entry.offset, entry.elements());
            no_grad(|| drop(place.zero_()));
        }
        for range in self.ranges(weights) {
            group.sum(&self.flat.narrow(0, range.from, range.len))?;
        }
        Ok(())
    }

    /// Where gradients are, neighbours joined.
    pub(crate) fn ranges(&self, weights: &Weights) -> Vec<Range> {
        let decayed = weights.layout.decayed;
        let mut ranges: Vec<Range> = Vec::new();
        for (&from, &end) in &self.reached {
            match ranges.last_mut() {
                // Only padding lies between: it is zero in every buffer.
                Some(last)
                    if from - (last.from + last.len) < ALIGNMENT
                        && from != decayed
                        && weights.layout.rate(from) == last.rate =>
                {
                    last.len = end - last.from;
                }
                _ => ranges.push(Range {
                    from,
                    len: end - from,
                    is_decayed: from < decayed,
                    rate: weights.layout.rate(from),
                }),
            }
        }
        ranges
    }

    /// The gradient of the tensor at `offset`, where one has reached it.
    pub(crate) fn of(&self, offset: i64, elements: i64) -> Option<Tensor> {
        let (&from, &end) = self.reached.range(..=offset).next_back()?;
        (from <= offset && offset < end).then(|| self.flat.narrow(0, offset, elements))
    }
}
