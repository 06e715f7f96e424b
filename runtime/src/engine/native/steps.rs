//! The steps that a layer is made of, on blocks of rows.

use std::sync::PoisonError;

use super::arena::{Levels, Scratch};
use super::forward::{Forward, Inputs};
use super::outliers::Apart;
use super::packed::Packed;
use super::products::{Product, Rows, Then};
use super::resident::Norm;
use super::rounding::{Normalised, Rounded};

impl Forward<'_> {
    /// The products of `count` rows of the width of the network with a matrix, into `wide` of the
    /// scratch; normalised before, if there is a norm.
    pub(super) fn project_rows(
        &self,
        x: &[f32],
        norm: Option<&Norm>,
        matrix: &Packed,
        scratch: &mut Scratch,
    ) {
        let row = self.network.row();
        let count = x.len() / row;
        let Scratch {
            normal,
            levels,
            wide,
            starts,
            ..
        } = scratch;
        let floats = match norm {
            Some(norm) => {
                self.normalise(x, norm, normal, Some((matrix, levels)));
                &normal[..]
            }
            None => {
                self.round(x, row, count, matrix, levels);
                x
            }
        };
        let x = Rows::new(count, row, levels, floats);
        self.multiply(x, matrix, Then::Store, (wide, starts));
    }

    /// Normalises rows of the width of the network, and rounds them if the matrix that they are
    /// multiplied by next wants them to be.
    pub(super) fn normalise(
        &self,
        x: &[f32],
        norm: &Norm,
        normal: &mut [f32],
        next: Option<(&Packed, &mut Levels)>,
    ) {
        let (dimensions, row) = (&self.network.dimensions, self.network.row());
        let normal = &mut normal[..x.len()];
        let (at_once, later) = match next {
            Some((matrix, levels)) if matrix.outliers.is_some() => (None, Some((matrix, levels))),
            Some((matrix, levels)) if matrix.rounds() => (Some(levels), None),
            _ => (None, None),
        };
        self.kernel.normalise(Normalised {
            x,
            stride: row,
            width: dimensions.hidden,
            weights: &norm.factors,
            shifts: norm.terms.as_deref(),
            epsilon: dimensions.epsilon,
            y: normal,
            rounded: at_once.map(|levels| (&mut levels.bytes[..], &mut levels.scales[..])),
        });
        if let Some((matrix, levels)) = later {
            self.round(normal, row, x.len() / row, matrix, levels);
        }
    }

    /// Rounds `count` rows, if the matrix wants them to be.
    pub(super) fn round(
        &self,
        x: &[f32],
        stride: usize,
        count: usize,
        matrix: &Packed,
        levels: &mut Levels,
    ) {
        if matrix.rounds() {
            self.kernel.round(Rounded {
                x: &x[..count * stride],
                stride,
                bytes: &mut levels.bytes[..count * stride],
                scales: &mut levels.scales[..count],
                apart: matrix.outliers.as_ref().map(|outliers| Apart {
                    outliers,
                    gathered: &mut levels.gathered,
                    bytes: &mut levels.outliers,
                    scales: &mut levels.outlier_scales[..count],
                }),
            });
        }
    }

    /// Multiplies rows by a matrix, into `y`.
    pub(super) fn multiply(
        &self,
        x: Rows<'_>,
        matrix: &Packed,
        then: Then,
        (y, starts): (&mut [f32], &mut [i32]),
    ) {
        if let Some(inputs) = self.inputs {
            note(inputs, x, matrix);
        }
        let stride = match then {
            Then::Store => matrix.width(),
            Then::Add | Then::Tanh => self.network.row(),
            Then::SwiGlu | Then::Gelu | Then::GeluTanh => self.network.inner_row(),
        };
        self.kernel.multiply(Product {
            x,
            matrix,
            then,
            stride,
            y,
            starts,
        });
    }
}

/// Notes what a matrix is multiplied by.
fn note(inputs: &Inputs, x: Rows<'_>, matrix: &Packed) {
    let mut inputs = inputs.lock().unwrap_or_else(PoisonError::into_inner);
    let noted = inputs.entry(matrix.name.clone()).or_default();
    for row in x.floats.chunks_exact(x.stride).take(x.count) {
        noted.extend(&row[..matrix.inputs]);
    }
}
