//! Projections whose outlier features are rounded apart, as nodes.
//!
//! Shapes: I inputs of a projection, F of them outlier features, O outputs.

use crate::builder::Builder;
use crate::linear::{Projection, TOKEN_ZERO, le_bytes};
use crate::onnx::{AttributeProto, DataType};
use crate::quantize;

/// Low bytes of a unit of the high one: a rest of half a unit is 127 of them.
const LOW_LEVELS: f32 = 254.0;

/// What of a projection's activations is not rounded as the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Apart {
    /// Inputs in 16 bits, ascending; all of them, if no activation is to have 8.
    pub(crate) outliers: Vec<usize>,
    /// What makes all activations positive, so that 8 bits without a sign do.
    pub(crate) shift: Option<f32>,
}

/// Adds the constants that these projections use.
pub(crate) fn constants(scalar: &mut impl FnMut(&str, DataType, &[u8])) {
    scalar("shifted.zero_point", DataType::UInt8, &[0]);
    for (name, value) in [
        ("shifted.levels", 255.0),
        ("shifted.offset", 0.5),
        ("halves.zero", f32::from(TOKEN_ZERO)),
        ("halves.low_levels", LOW_LEVELS),
        ("halves.low_unit", 1.0 / LOW_LEVELS),
    ] {
        scalar(name, DataType::Float, &f32::to_le_bytes(value));
    }
}

impl<'a> Projection<'a> {
    /// Int8 weights; of the activations, outlier features in 16 bits, others in 8.
    pub(crate) fn int8_outliers(
        self,
        builder: &mut Builder<'a>,
        name: &str,
        x: &str,
        apart: Apart,
    ) -> String {
        let inputs = self.inputs();
        let (weight, scale) = self.clone().int8(builder, name);
        let own = |part: &str| format!("{name}.{part}");
        let numbers = apart.outliers.clone();
        let count = numbers.len();
        let list = builder.tensor(&own("outliers"), DataType::Int32, vec![count], move || {
            let numbers = numbers.iter().map(|number| *number as i32);
            numbers.flat_map(i32::to_le_bytes).collect()
        });
        if count == inputs {
            let sums = halves(builder, name, x, &weight);
            return builder.node(name, "Mul", &[&sums, &scale]);
        }
        let of = builder.node(&own("x_outliers"), "Gather", &[x, &list]);
        builder.attribute(AttributeProto::int("axis", -1));
        let rows = builder.node(&own("outlier_weight"), "Gather", &[&weight, &list]);
        builder.attribute(AttributeProto::int("axis", 0));
        let outliers = halves(builder, name, &of, &rows);
        let mut kept = vec![1.0; inputs];
        apart.outliers.iter().for_each(|input| kept[*input] = 0.0);
        builder.constant(
            &own("is_kept"),
            DataType::Float,
            &[inputs],
            &le_bytes(kept.iter().copied()),
        );
        let (x, zero, levels, offset) = match apart.shift {
            None => (
                x.to_owned(),
                "token.zero_point",
                "token.levels",
                "token.offset",
            ),
            Some(shift) => {
                let term = builder.tensor(&own("shift"), DataType::Float, vec![1], move || {
                    le_bytes([shift])
                });
                let x = builder.node(&own("x_shifted"), "Add", &[x, &term]);
                (x, "shifted.zero_point", "shifted.levels", "shifted.offset")
            }
        };
        let x = builder.node(&own("x_kept"), "Mul", &[&x, &own("is_kept")]);
        let largest = largest(builder, &own("x"), &x);
        let inverse = builder.node(&own("x_inverse_scale"), "Div", &[levels, &largest]);
        let x = builder.node(&own("x_levels"), "Mul", &[&x, &inverse]);
        let x = builder.node(&own("x_offset"), "Add", &[&x, offset]);
        let x = builder.cast(&own("x"), &x, DataType::UInt8);
        let sums = builder.node(
            &own("sums"),
            "MatMulInteger",
            &[&x, &weight, zero, "zero_point"],
        );
        let sums = builder.cast(&own("sums_f32"), &sums, DataType::Float);
        let x_scale = builder.node(&own("x_scale"), "Div", &[&largest, levels]);
        let sums = builder.node(&own("sums_scaled"), "Mul", &[&sums, &x_scale]);
        let sums = builder.node(&own("sums_of_all"), "Add", &[&sums, &outliers]);
        let Some(shift) = apart.shift else {
            return builder.node(name, "Mul", &[&sums, &scale]);
        };
        let product = builder.node(&own("shifted_product"), "Mul", &[&sums, &scale]);
        let outputs = self.outputs();
        let shifted = builder.tensor(&own("shifted"), DataType::Float, vec![outputs], move || {
            let rows = self.rows();
            le_bytes(rows.chunks_exact(inputs).map(|row| {
                let scale = quantize::scale(row);
                let levels = row
                    .iter()
                    .zip(&kept)
                    .map(|(x, kept)| f64::from(quantize::quantize(*x, scale)) * f64::from(*kept));
                (levels.sum::<f64>() * f64::from(scale) * f64::from(shift)) as f32
            }))
        });
        builder.node(name, "Sub", &[&product, &shifted])
    }
}

/// `x` in two bytes times integers: the sums, in units of `x`.
fn halves(builder: &mut Builder<'_>, name: &str, x: &str, weight: &str) -> String {
    let own = |part: &str| format!("{name}.outlier_{part}");
    let largest = largest(builder, &own("x"), x);
    let inverse = builder.node(&own("x_inverse_scale"), "Div", &["token.levels", &largest]);
    let levels = builder.node(&own("x_levels"), "Mul", &[x, &inverse]);
    let high = builder.node(&own("x_high"), "Round", &[&levels]);
    let rest = builder.node(&own("x_rest"), "Sub", &[&levels, &high]);
    let low = builder.node(&own("x_low_levels"), "Mul", &[&rest, "halves.low_levels"]);
    let low = builder.node(&own("x_low"), "Round", &[&low]);
    let [high, low] = [("high", high), ("low", low)].map(|(half, x)| {
        let part = |part: &str| own(&format!("{half}_{part}"));
        let x = builder.node(&part("offset"), "Add", &[&x, "halves.zero"]);
        let x = builder.cast(&part("x"), &x, DataType::UInt8);
        let sums = builder.node(
            &part("sums"),
            "MatMulInteger",
            &[&x, weight, "token.zero_point", "zero_point"],
        );
        builder.cast(&part("sums_f32"), &sums, DataType::Float)
    });
    let low = builder.node(&own("low_part"), "Mul", &[&low, "halves.low_unit"]);
    let sums = builder.node(&own("sums"), "Add", &[&high, &low]);
    let x_scale = builder.node(&own("x_scale"), "Div", &[&largest, "token.levels"]);
    builder.node(&own("sums_scaled"), "Mul", &[&sums, &x_scale])
}

/// The largest magnitude of each token, above 0.
fn largest(builder: &mut Builder<'_>, name: &str, x: &str) -> String {
    let own = |part: &str| format!("{name}_{part}");
    let magnitude = builder.node(&own("magnitude"), "Abs", &[x]);
    let largest = builder.node(&own("largest"), "ReduceMax", &[&magnitude, "last_axis"]);
    builder.node(&own("range"), "Max", &[&largest, "token.smallest"])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use prost::Message;

    use crate::checkpoint::Checkpoint;
    use crate::graph::{self, Form};
    use crate::onnx::ModelProto;
    use crate::scheme::{Plan, Precision, Quantize};

    /// ONNX Runtime refuses graphs that have a name twice.
    #[test]
    fn every_node_has_a_name_of_its_own() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert");
        let checkpoint = Checkpoint::open(&golden).unwrap();
        let mut plan = Plan::new(Quantize::Int8Outliers);
        for name in graph::projections(checkpoint.config(), 0) {
            plan.outliers.insert(name, vec![0, 3]);
        }
        for name in graph::projections(checkpoint.config(), 1) {
            plan.exceptions.insert(name, Precision::Int16Activations);
        }
        let graph = graph::build(&checkpoint, &plan, Form::Window).unwrap();
        let model = ModelProto::decode(&graph.whole().0[..]).unwrap();
        let nodes = model.graph.unwrap().node;
        let names: BTreeSet<_> = nodes.iter().filter_map(|node| node.name.as_ref()).collect();
        assert_eq!(names.len(), nodes.len());
        let outputs: BTreeSet<_> = nodes.iter().flat_map(|node| &node.output).collect();
        assert_eq!(
            outputs.len(),
            nodes.iter().flat_map(|node| &node.output).count()
        );
    }
}
