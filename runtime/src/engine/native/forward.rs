//! The forward pass: layer by layer, in each the keys and values of all tokens first, then the rest
//! of the layer, row by row.
//!
//! Every number of a row is computed from the row itself and from the keys and values of its own
//! sequence, in an order that its position alone decides. So rows can be divided among threads, and
//! blocks, in any way.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::arena::{Arena, BLOCK, Scratch, Shape};
use super::attention::{Attention, TILE_KEYS};
use super::kernels::Chosen;
use super::packed::Packed;
use super::parts::{Projection, Rest, in_parallel, take};
use super::placing::Placing;
use super::products::{Rows, Then};
use super::resident::{Layer, Places, Resident};
use super::team::Team;

/// What happens to the keys and values of a layer besides attention; a stream's are kept.
pub(super) trait Cache {
    /// Called before and after a layer: exchanges the arena's for those that are kept, and back.
    fn swap(&mut self, layer: usize, keys: &mut Vec<f32>, values: &mut Vec<f32>);
}

/// For batches whose keys and values are not kept.
pub(super) struct NoCache;

impl Cache for NoCache {
    fn swap(&mut self, _layer: usize, _keys: &mut Vec<f32>, _values: &mut Vec<f32>) {}
}

/// By the names of matrices, what they were multiplied by: rows of as many values as they have
/// inputs.
pub(super) type Inputs = Mutex<BTreeMap<String, Vec<f32>>>;

/// A forward pass of one batch.
pub(super) struct Forward<'a> {
    pub(super) network: &'a Resident,
    pub(super) kernel: Chosen,
    pub(super) shape: Shape,
    /// The most that take part; each has a scratch of the arena.
    pub(super) threads: usize,
    /// Where the inputs of matrices of floats are noted, for those who ask.
    pub(super) inputs: Option<&'a Inputs>,
}

impl Forward<'_> {
    /// Writes the logits of every sequence: `rows * categories`. The ids and the shape were
    /// checked.
    pub(super) fn run(
        &self,
        ids: &[u32],
        arena: &mut Arena,
        cache: &mut impl Cache,
        logits: &mut [f32],
    ) {
        arena.fit(self.network, self.shape);
        self.embed(ids, arena);
        self.layers(arena, cache);
        self.judge(arena, logits);
    }

    /// What every sequence is judged by: `rows * hidden`. The ids and the shape were checked.
    pub(super) fn pooled(&self, ids: &[u32], arena: &mut Arena) -> Vec<f32> {
        arena.fit(self.network, self.shape);
        self.embed(ids, arena);
        self.layers(arena, &mut NoCache);
        self.pool(arena);
        let (row, hidden) = (self.network.row(), self.network.dimensions.hidden);
        let rows = arena.judged.chunks_exact(row).take(self.shape.rows);
        rows.flat_map(|x| &x[..hidden]).copied().collect()
    }

    /// All layers, one after the other.
    pub(super) fn layers(&self, arena: &mut Arena, cache: &mut impl Cache) {
        Team::of(self.threads.min(arena.scratches.len()), |team| {
            for (number, layer) in self.network.layers.iter().enumerate() {
                cache.swap(number, &mut arena.keys, &mut arena.values);
                arena.fit_keys(self.network, self.shape);
                self.project_all(layer, team, arena);
                match &layer.judged_query {
                    None => self.finish_all(layer, team, arena),
                    Some(query) => self.finish_judged(layer, query, arena),
                }
                cache.swap(number, &mut arena.keys, &mut arena.values);
            }
        });
    }

    /// The rows that the first layer takes. The arena fits.
    pub(super) fn embed(&self, ids: &[u32], arena: &mut Arena) {
        let (network, row) = (self.network, self.network.row());
        let Scratch { normal, .. } = &mut arena.scratches[0];
        let blocks = arena.residual.chunks_mut(BLOCK * row);
        for (block, (ids, rows)) in ids.chunks(BLOCK).zip(blocks).enumerate() {
            let rows = &mut rows[..ids.len() * row];
            for (at, (id, x)) in ids.iter().zip(rows.chunks_exact_mut(row)).enumerate() {
                let (_, position) = self.shape.place(block * BLOCK + at);
                self.kernel.embed(network.embedding_of(*id, position, x));
            }
            if let Places::Learned { norm, .. } = &network.places {
                self.normalise(rows, norm, normal, None);
                rows.copy_from_slice(&normal[..rows.len()]);
            }
        }
    }

    /// Queries, keys and values of all tokens.
    fn project_all(&self, layer: &Layer, team: &Team, arena: &mut Arena) {
        let (network, shape) = (self.network, self.shape);
        let (row, heads) = (network.row(), network.heads);
        let (first_tile, tiles) = (shape.past / TILE_KEYS, shape.rows * shape.tiles());
        let threads = team.threads().min(tiles - first_tile);
        let residual = &arena.residual;
        let mut queries = &mut arena.queries[..];
        let mut keys = &mut arena.keys[first_tile * heads.tile()..];
        let mut values = &mut arena.values[shape.past * heads.values()..];
        let parts = arena.scratches.iter_mut().take(threads).enumerate();
        let parts = parts.map(|(thread, scratch)| {
            let cut = |thread| first_tile + (tiles - first_tile) * thread / threads;
            let (tile, end) = (cut(thread), cut(thread + 1));
            let rows = shape.first_row(tile)..match end == tiles {
                true => shape.all(),
                false => shape.first_row(end),
            };
            Projection {
                tile,
                first: rows.start,
                residual: &residual[rows.start * row..rows.end * row],
                queries: take(&mut queries, rows.len() * row),
                keys: take(&mut keys, (end - tile) * heads.tile()),
                values: take(&mut values, rows.len() * heads.values()),
                scratch,
            }
        });
        in_parallel(team, parts, |part| self.project(layer, part));
    }

    fn project(&self, layer: &Layer, part: Projection<'_>) {
        let network = self.network;
        let (row, heads) = (network.row(), network.heads);
        let Projection {
            tile,
            first,
            residual,
            queries,
            keys,
            values,
            scratch,
        } = part;
        let matrix = &layer.attention_input;
        for (block, x) in residual.chunks(BLOCK * row).enumerate() {
            self.project_rows(x, layer.input_norm.as_ref(), matrix, scratch);
            let start = block * BLOCK;
            self.kernel.place(Placing {
                network,
                wide: &scratch.wide,
                stride: matrix.width(),
                count: x.len() / row,
                first: first + start,
                shape: self.shape,
                tile,
                // Those whose query is made by itself have none here.
                queries: match &layer.judged_query {
                    None => Some(&mut queries[start * row..]),
                    Some(_) => None,
                },
                keys,
                values: &mut values[start * heads.values()..],
            });
        }
    }

    /// The rest of a layer, for all tokens.
    fn finish_all(&self, layer: &Layer, team: &Team, arena: &mut Arena) {
        let row = self.network.row();
        let (all, keys, values) = (self.shape.all(), &arena.keys, &arena.values);
        let threads = team.threads().min(all);
        let mut residual = &mut arena.residual[..all * row];
        let queries = &arena.queries;
        let parts = arena.scratches.iter_mut().take(threads).enumerate();
        let parts = parts.map(|(thread, scratch)| {
            let (first, end) = (all * thread / threads, all * (thread + 1) / threads);
            Rest {
                first,
                is_judged: false,
                residual: take(&mut residual, (end - first) * row),
                queries: &queries[first * row..end * row],
                keys,
                values,
                scratch,
            }
        });
        in_parallel(team, parts, |part| self.finish(layer, part));
    }

    /// The rest of the last layer, for the token of every sequence that is judged.
    fn finish_judged(&self, layer: &Layer, query: &Packed, arena: &mut Arena) {
        let (row, shape) = (self.network.row(), self.shape);
        let Arena {
            residual,
            keys,
            values,
            judged,
            judged_queries,
            scratches,
            ..
        } = arena;
        let token = self.network.head.judged(shape.tokens);
        let sequences = residual.chunks_exact(shape.tokens * row).take(shape.rows);
        for (judged, tokens) in judged.chunks_exact_mut(row).zip(sequences) {
            judged.copy_from_slice(&tokens[token * row..][..row]);
        }
        let scratch = &mut scratches[0];
        let judged = &mut judged[..shape.rows * row];
        for (x, queries) in judged
            .chunks(BLOCK * row)
            .zip(judged_queries.chunks_mut(BLOCK * row))
        {
            self.project_rows(x, layer.input_norm.as_ref(), query, scratch);
            let rows = scratch.wide.chunks_exact(query.width()).take(x.len() / row);
            for (wide, queries) in rows.zip(queries.chunks_exact_mut(row)) {
                self.network.turn_query(wide, shape.past + token, queries);
            }
        }
        let part = Rest {
            first: 0,
            is_judged: true,
            residual: judged,
            queries: judged_queries,
            keys,
            values,
            scratch,
        };
        self.finish(layer, part);
    }

    fn finish(&self, layer: &Layer, part: Rest<'_>) {
        let network = self.network;
        let (row, inner_row) = (network.row(), network.inner_row());
        let mut first = part.first;
        let blocks = part.residual.chunks_mut(BLOCK * row);
        for (x, queries) in blocks.zip(part.queries.chunks(BLOCK * row)) {
            let count = x.len() / row;
            let scratch = &mut *part.scratch;
            let seen = (part.is_judged, part.keys, part.values);
            self.attend(first, queries, count, seen, &mut scratch.mixed);
            let Scratch {
                normal,
                mixed,
                inner,
                levels,
                starts,
                ..
            } = scratch;
            self.round(mixed, row, count, &layer.attention_output, levels);
            let rows = Rows::new(count, row, levels, mixed);
            self.multiply(rows, &layer.attention_output, Then::Add, (x, starts));
            let next = Some((&layer.up, &mut *levels));
            self.normalise(x, &layer.middle_norm, normal, next);
            let rows = Rows::new(count, row, levels, normal);
            self.multiply(rows, &layer.up, network.activation, (inner, starts));
            self.round(inner, inner_row, count, &layer.down, levels);
            let rows = Rows::new(count, inner_row, levels, inner);
            match &layer.output_norm {
                None => self.multiply(rows, &layer.down, Then::Add, (x, starts)),
                // What was normalised is what is added to, and the sum is normalised in turn.
                Some(norm) => {
                    self.multiply(rows, &layer.down, Then::Add, (normal, starts));
                    let sums = &normal[..x.len()];
                    self.normalise(sums, norm, x, None);
                }
            }
            first += count;
        }
    }

    /// Attention of rows, each stretch of one sequence by itself.
    fn attend(
        &self,
        first: usize,
        queries: &[f32],
        count: usize,
        (is_judged, keys, values): (bool, &[f32], &[f32]),
        mixed: &mut [f32],
    ) {
        let (shape, heads, row) = (self.shape, self.network.heads, self.network.row());
        let mut at = 0;
        while at < count {
            let (sequence, position, rows) = match is_judged {
                true => (first + at, shape.length() - 1, 1),
                false => {
                    let (sequence, position) = shape.place(first + at);
                    let rows = (shape.length() - position).min(count - at);
                    (sequence, position, rows)
                }
            };
            let tiles = shape.tiles() * heads.tile();
            let width = shape.length() * heads.values();
            self.kernel.attend(Attention {
                heads,
                queries: &queries[at * row..],
                count: rows,
                stride: row,
                position: match self.network.is_causal() {
                    true => Some(position),
                    false => None,
                },
                length: shape.length(),
                keys: &keys[sequence * tiles..][..tiles],
                values: &values[sequence * width..][..width],
                mixed: &mut mixed[at * row..],
            });
            at += rows;
        }
    }
}
