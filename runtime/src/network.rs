//! Networks as they lie in `weights.data`: their shape and their tensors, read by their names; for
//! engines that have a forward pass of their own. Decoders here, encoders in [`encoder`].
//!
//! Everything that a decoder's forward pass needs follows from the tensors, except one number, the
//! epsilon of the norms, which is taken from the graph. A tensor that is not known belongs to a
//! network that is not known, and is refused.

pub(crate) mod encoder;
pub(crate) mod labels;
mod matrix;
mod origin;
#[cfg(any(test, feature = "wgpu"))]
pub(crate) mod reference;
#[cfg(any(test, feature = "wgpu"))]
pub(crate) mod reference_encoder;
#[cfg(any(test, feature = "wgpu"))]
pub(crate) mod sample;
#[cfg(any(test, feature = "wgpu"))]
mod sample_encoder;
mod tensors;

#[cfg(any(test, feature = "wgpu"))]
pub(crate) use self::matrix::Products;
#[cfg(test)]
pub(crate) use self::matrix::Shift;
pub(crate) use self::matrix::{BLOCK, Dimensions, Format, Formats, Matrix, Outliers, floats};
#[cfg(feature = "wgpu")]
pub(crate) use self::origin::check_field;
pub(crate) use self::origin::{DECODERS_AND_ENCODERS, check_origin};
pub(crate) use self::tensors::OnlyLayer;
use self::tensors::{Read, Tensors, unsupported};
use crate::error::Result;

/// A head is rotated in two halves; engines take either in steps of four values.
pub(crate) const HEAD_SIZE_MULTIPLE: usize = 8;
/// The largest head that engines have room for in registers.
pub(crate) const MAX_HEAD_SIZE: usize = 128;

/// The tensors of a layer.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    pub(crate) input_norm: &'a [u8],
    /// Query, key and value side by side; or, in the last layer, the query by itself, then key and
    /// value.
    pub(crate) attention_input: Vec<Matrix<'a>>,
    pub(crate) attention_output: Matrix<'a>,
    pub(crate) post_attention_norm: &'a [u8],
    /// Gate and up, side by side.
    pub(crate) gate_up: Matrix<'a>,
    pub(crate) down: Matrix<'a>,
}

/// A network, borrowed from the bytes of `weights.data`.
#[derive(Debug)]
pub(crate) struct Network<'a> {
    pub(crate) dimensions: Dimensions,
    /// [vocabulary, hidden], with a scale for each row.
    pub(crate) embedding: Matrix<'a>,
    pub(crate) cosines: &'a [u8],
    pub(crate) sines: &'a [u8],
    pub(crate) layers: Vec<Layer<'a>>,
    pub(crate) norm: &'a [u8],
    pub(crate) score: Matrix<'a>,
}

impl<'a> Network<'a> {
    /// Reads the tensors of a safetensors file for an engine, which errors name and which knows
    /// some formats. `epsilon` is that of every norm.
    pub(crate) fn read(
        engine: &'static str,
        weights: &'a [u8],
        epsilon: f32,
        formats: Formats,
    ) -> Result<Self> {
        let tensors = Tensors::read(weights, formats, None);
        tensors
            .and_then(|tensors| Self::of(tensors, epsilon))
            .map_err(|what| what.error(engine, "decoder"))
    }

    /// The same of a file that has one layer alone.
    pub(crate) fn read_layer(
        engine: &'static str,
        weights: &'a [u8],
        epsilon: f32,
        only: OnlyLayer,
    ) -> Result<Self> {
        let tensors = Tensors::read(weights, Formats::ALL, Some(only));
        tensors
            .and_then(|tensors| Self::of(tensors, epsilon))
            .map_err(|what| what.error(engine, "decoder"))
    }

    fn of(tensors: Tensors<'a>, epsilon: f32) -> Read<Self> {
        let (vocabulary, _) = tensors.shape("embedding.weight")?;
        let (max_position, half) = tensors.shape("rotary.cos")?;
        let (hidden, categories) = tensors.shape("score.weight")?;
        let head_size = 2 * half;
        check_head_size(head_size)?;
        let layers = tensors.layers("input_norm.weight");
        if layers == 0 {
            return Err(unsupported(
                "there is no layers.0.input_norm.weight".to_owned(),
            ));
        }
        let first = |name| tensors.shape(&tensors.in_layer(0, name));
        let (_, gate_up) = first("gate_up.weight")?;
        let outputs = match first("qkv.weight") {
            Ok((_, outputs)) => outputs,
            Err(_) => hidden + first("kv.weight")?.1,
        };
        let dimensions = Dimensions {
            layers,
            hidden,
            heads: hidden / head_size,
            kv_heads: outputs.saturating_sub(hidden) / (2 * head_size),
            head_size,
            intermediate: gate_up / 2,
            vocabulary,
            max_position,
            categories,
            epsilon,
        };
        check(&dimensions)?;
        tensors.network(dimensions)
    }
}

fn check_head_size(head_size: usize) -> Read<()> {
    if head_size == 0 || !head_size.is_multiple_of(HEAD_SIZE_MULTIPLE) || head_size > MAX_HEAD_SIZE
    {
        return Err(unsupported(format!(
            "the head size is {head_size}; expected a multiple of {HEAD_SIZE_MULTIPLE} of at most \
             {MAX_HEAD_SIZE}"
        )));
    }
    Ok(())
}

fn check(d: &Dimensions) -> Read<()> {
    let sizes = [
        ("hidden size", d.hidden),
        ("heads", d.heads),
        ("kv heads", d.kv_heads),
        ("intermediate size", d.intermediate),
        ("vocabulary", d.vocabulary),
        ("longest sequence", d.max_position),
        ("categories", d.categories),
    ];
    // Products of two such sizes fit in the 32 bits that shaders count with, divided by the four
    // values of a quad.
    if let Some((name, size)) = sizes.iter().find(|(_, size)| *size == 0 || *size > 1 << 20) {
        return Err(unsupported(format!(
            "the {name} would be {size}; expected 1 to {}",
            1 << 20
        )));
    }
    if d.heads * d.head_size != d.hidden || !d.heads.is_multiple_of(d.kv_heads) {
        return Err(unsupported(format!(
            "hidden size {}, head size {} and {} kv heads do not fit together",
            d.hidden, d.head_size, d.kv_heads
        )));
    }
    Ok(())
}

impl<'a> Tensors<'a> {
    fn network(mut self, d: Dimensions) -> Read<Network<'a>> {
        let layers = (0..d.layers)
            .map(|layer| self.layer(&d, layer))
            .collect::<Read<_>>()?;
        let network = Network {
            embedding: self.embedding(&d)?,
            cosines: self.floats("rotary.cos", d.max_position * d.head_size / 2)?,
            sines: self.floats("rotary.sin", d.max_position * d.head_size / 2)?,
            layers,
            norm: self.floats("norm.weight", d.hidden)?,
            score: self.matrix("score", d.hidden, d.categories)?,
            dimensions: d,
        };
        self.all_taken()?;
        Ok(network)
    }

    fn layer(&mut self, d: &Dimensions, layer: usize) -> Read<Layer<'a>> {
        let number = self.first_layer() + layer;
        let own = |name: &str| format!("layers.{number}.{name}");
        let splits = self.is_last(d, layer);
        Ok(Layer {
            input_norm: self.floats(&own("input_norm.weight"), d.hidden)?,
            attention_input: self.attention_input(d, layer, splits)?,
            attention_output: self.matrix(&own("attention_output"), d.hidden, d.hidden)?,
            post_attention_norm: self.floats(&own("post_attention_norm.weight"), d.hidden)?,
            gate_up: self.matrix(&own("gate_up"), d.hidden, 2 * d.intermediate)?,
            down: self.matrix(&own("down"), d.intermediate, d.hidden)?,
        })
    }
}
