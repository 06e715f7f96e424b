//! The steps that a layer is made of, on blocks of rows.

use super::arena::Scratch;
use super::forward::Forward;
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
            bytes,
            scales,
            wide,
            starts,
            ..
        } = scratch;
        let floats = match norm {
            Some(norm) => {
                self.normalise(x, norm, matrix.rounds(), normal, (bytes, scales));
                &normal[..]
            }
            None => {
                self.round(x, row, count, matrix, (bytes, scales));
                x
            }
        };
        let x = Rows::new(count, row, (bytes, scales), floats);
        self.multiply(x, matrix, Then::Store, (wide, starts));
    }

    /// Normalises rows of the width of the network, and rounds them if they are to be.
    pub(super) fn normalise(
        &self,
        x: &[f32],
        norm: &Norm,
        rounds: bool,
        normal: &mut [f32],
        (bytes, scales): (&mut [u8], &mut [f32]),
    ) {
        let dimensions = &self.network.dimensions;
        self.kernel.normalise(Normalised {
            x,
            stride: self.network.row(),
            width: dimensions.hidden,
            weights: &norm.factors,
            shifts: norm.terms.as_deref(),
            epsilon: dimensions.epsilon,
            y: &mut normal[..x.len()],
            rounded: rounds.then_some((bytes, scales)),
        });
    }

    /// Rounds `count` rows, if the matrix wants them to be.
    pub(super) fn round(
        &self,
        x: &[f32],
        stride: usize,
        count: usize,
        matrix: &Packed,
        (bytes, scales): (&mut [u8], &mut [f32]),
    ) {
        if matrix.rounds() {
            self.kernel.round(Rounded {
                x: &x[..count * stride],
                stride,
                bytes: &mut bytes[..count * stride],
                scales: &mut scales[..count],
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
