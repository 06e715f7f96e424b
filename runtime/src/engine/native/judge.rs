//! From the last layer's rows to the logits.

use super::arena::{Arena, BLOCK, Scratch};
use super::forward::Forward;
use super::products::{Rows, Then};
use crate::bundle::Pooling;
use crate::network::labels::against_others;

impl Forward<'_> {
    pub(super) fn judge(&self, arena: &mut Arena, logits: &mut [f32]) {
        let (network, head) = (self.network, &self.network.head);
        let (row, outputs) = (network.row(), head.outputs());
        self.pool(arena);
        let scratch = &mut arena.scratches[0];
        let blocks = arena.judged[..self.shape.rows * row].chunks_mut(BLOCK * row);
        for (x, logits) in blocks.zip(logits.chunks_mut(BLOCK * outputs)) {
            if let Some(pooler) = &head.pooler {
                let Scratch {
                    normal,
                    levels,
                    starts,
                    ..
                } = &mut *scratch;
                let count = x.len() / row;
                self.round(x, row, count, pooler, levels);
                let floats = Rows::new(count, row, levels, x);
                self.multiply(floats, pooler, Then::Tanh, (normal, starts));
                x.copy_from_slice(&normal[..x.len()]);
            }
            self.project_rows(x, head.norm.as_ref(), &head.score, scratch);
            let rows = scratch.wide.chunks_exact(head.score.width());
            for (logits, row) in logits.chunks_exact_mut(outputs).zip(rows) {
                match &head.kept_labels {
                    None => logits.copy_from_slice(&row[..outputs]),
                    Some(kept) => {
                        let labels = &row[..network.dimensions.categories];
                        for (logit, label) in logits.iter_mut().zip(kept) {
                            *logit = against_others(labels, *label);
                        }
                    }
                }
            }
        }
    }

    /// What every sequence is judged by: its one judged row, which is there, or the mean of its
    /// tokens, which are added in their order.
    pub(super) fn pool(&self, arena: &mut Arena) {
        if self.network.head.pooling != Pooling::Mean {
            return;
        }
        let (row, tokens) = (self.network.row(), self.shape.tokens);
        let sequences = arena.residual.chunks_exact(tokens * row);
        let means = arena.judged.chunks_exact_mut(row).take(self.shape.rows);
        for (mean, sequence) in means.zip(sequences) {
            mean.fill(0.0);
            for x in sequence.chunks_exact(row) {
                for (sum, x) in mean.iter_mut().zip(x) {
                    *sum += x;
                }
            }
            for sum in mean {
                *sum /= tokens as f32;
            }
        }
    }
}
