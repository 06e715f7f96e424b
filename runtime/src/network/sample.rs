//! Small made-up networks, as files: what self-tests and tests run.

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{BLOCK, Format};

/// The shape of a made-up network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) intermediate: usize,
    pub(crate) vocabulary: usize,
    pub(crate) max_position: usize,
    pub(crate) categories: usize,
    pub(crate) embedding: Format,
    /// Of all matrices but the head, which are floats always.
    pub(crate) matrices: Format,
    /// Whether the last layer's query stands by itself, as newer exporters write it.
    pub(crate) splits_query: bool,
    /// Of how many inputs every matrix of a layer has outlier features, at most; an encoder's last
    /// one has a shift then, unless all are.
    pub(crate) outliers: Option<usize>,
}

/// The epsilon of the norms of every sample.
pub(crate) const EPSILON: f32 = 1e-6;

impl Sample {
    /// The bytes of a `weights.data`. Activations of such a network are of the order of 1.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut tensors = Tensors::default();
        let hidden = self.heads * self.head_size;
        let kv = 2 * self.kv_heads * self.head_size;
        tensors.matrix(
            "embedding",
            [self.vocabulary, hidden],
            self.embedding,
            self.vocabulary,
        );
        for layer in 0..self.layers {
            let own = |name: &str| format!("layers.{layer}.{name}");
            let inputs: &[(&str, usize)] = match self.splits_query && layer + 1 == self.layers {
                true => &[("q", hidden), ("kv", kv)],
                false => &[("qkv", hidden + kv)],
            };
            for (name, outputs) in inputs {
                let name = own(name);
                tensors.projection(&name, [hidden, *outputs], self);
                tensors.vector(&format!("{name}.bias"), *outputs, 0.0);
            }
            let inner = self.intermediate;
            tensors.projection(&own("attention_output"), [hidden, hidden], self);
            tensors.projection(&own("gate_up"), [hidden, 2 * inner], self);
            tensors.projection(&own("down"), [inner, hidden], self);
            tensors.vector(&own("input_norm.weight"), hidden, 1.0);
            tensors.vector(&own("post_attention_norm.weight"), hidden, 1.0);
        }
        tensors.vector("norm.weight", hidden, 1.0);
        // As exporters fill the space between tensors.
        let padding = ("padding.0".to_owned(), Dtype::U8, vec![3], vec![0; 3]);
        tensors.tensors.push(padding);
        tensors.matrix(
            "score",
            [hidden, self.categories],
            Format::F32,
            self.categories,
        );
        let half = self.head_size / 2;
        let angles = (0..self.max_position * half)
            .map(|place| {
                let (position, pair) = ((place / half) as f64, (place % half) as f64);
                position * 10_000_f64.powf(-pair / half as f64)
            })
            .collect::<Vec<f64>>();
        let shape = [self.max_position, half];
        tensors.floats(
            "rotary.cos",
            &shape,
            angles.iter().map(|angle| angle.cos() as f32),
        );
        tensors.floats(
            "rotary.sin",
            &shape,
            angles.iter().map(|angle| angle.sin() as f32),
        );
        tensors.file()
    }
}

#[derive(Default)]
pub(super) struct Tensors {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    noise: Noise,
}

impl Tensors {
    /// A matrix whose products with vectors of ones are of the order of 1, and its scales, as many
    /// as are asked for.
    pub(super) fn matrix(&mut self, name: &str, shape: [usize; 2], format: Format, scales: usize) {
        // An embedding's rows are not summed over.
        let summed = match name {
            "embedding" | "position" => 1,
            _ => shape[0],
        };
        let size = 3.0_f32.sqrt() / (summed as f32).sqrt();
        let count = shape[0] * shape[1];
        let weight = format!("{name}.weight");
        match format {
            Format::F32 => {
                let values: Vec<f32> = (0..count).map(|_| size * self.noise.next()).collect();
                self.floats(&weight, &shape, values);
            }
            Format::Int8 => {
                let bytes = (0..count)
                    .map(|_| (127.0 * self.noise.next()) as i8 as u8)
                    .collect();
                self.tensors.push((weight, Dtype::I8, shape.into(), bytes));
                let scale = size / 127.0;
                let scales: Vec<f32> = (0..scales)
                    .map(|_| scale * (1.0 + 0.5 * self.noise.next()))
                    .collect();
                self.floats(&format!("{name}.scale"), &[scales.len()], scales);
            }
            Format::Blocks => {
                let bytes = (0..count / 2)
                    .map(|_| (127.0 * self.noise.next()) as i8 as u8)
                    .collect();
                let shape = match name {
                    "embedding" => vec![shape[0], shape[1] / 2],
                    _ => vec![shape[1], shape[0] / BLOCK, BLOCK / 2],
                };
                self.tensors.push((weight, Dtype::U8, shape, bytes));
                let scale = size / 8.0;
                let scales: Vec<f32> = (0..count / BLOCK)
                    .map(|_| scale * (1.0 + 0.5 * self.noise.next()))
                    .collect();
                self.floats(&format!("{name}.scale"), &[scales.len()], scales);
            }
        }
    }

    /// A matrix of a layer.
    pub(super) fn projection(&mut self, name: &str, [inputs, outputs]: [usize; 2], of: &Sample) {
        self.matrix(name, [inputs, outputs], of.matrices, outputs);
        let Some(outliers) = of.outliers.map(|outliers| outliers.min(inputs)) else {
            return;
        };
        let numbers = (0..outliers).map(|place| (place * inputs / outliers) as i32);
        let bytes = numbers.flat_map(i32::to_le_bytes).collect();
        let list = (
            format!("{name}.outliers"),
            Dtype::I32,
            vec![outliers],
            bytes,
        );
        self.tensors.push(list);
    }

    /// Values around `middle`.
    pub(super) fn vector(&mut self, name: &str, length: usize, middle: f32) {
        let values: Vec<f32> = (0..length)
            .map(|_| middle + 0.3 * self.noise.next())
            .collect();
        self.floats(name, &[length], values);
    }

    pub(super) fn floats(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = f32>,
    ) {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.tensors
            .push((name.to_owned(), Dtype::F32, shape.into(), bytes));
    }

    pub(super) fn file(self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            (
                name,
                view.expect("a sample's shapes are those of its bytes"),
            )
        });
        safetensors::serialize(views, None).expect("a sample's names are few and short")
    }
}

/// Numbers in [-1, 1) that are the same everywhere.
pub(crate) struct Noise(u64);

impl Default for Noise {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Noise {
    pub(crate) fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // 24 bits: every step is a float.
        let bits = (self.0 >> 40) as i32 - (1 << 23);
        bits as f32 / (1 << 23) as f32
    }
}
