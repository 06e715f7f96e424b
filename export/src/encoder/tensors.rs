//! The names and shapes of an encoder's tensors.

use super::config::{Encoder, Kind};
use crate::config::Config;

impl Encoder {
    fn body(&self) -> &'static str {
        match self.kind {
            Kind::Bert | Kind::Pooled => "bert",
            Kind::Roberta => "roberta",
        }
    }

    /// A tensor of the embeddings.
    pub(crate) fn embedding(&self, name: &str) -> String {
        format!("{}.embeddings.{name}", self.body())
    }

    /// A tensor of a layer.
    pub(crate) fn in_layer(&self, layer: usize, name: &str) -> String {
        format!("{}.encoder.layer.{layer}.{name}", self.body())
    }

    /// The layer with tanh between the first token and the labels, without `.weight` or `.bias`.
    pub(crate) fn dense(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Bert => Some("bert.pooler.dense"),
            Kind::Roberta => Some("classifier.dense"),
            Kind::Pooled => None,
        }
    }

    /// The layer that gives the labels, without `.weight` or `.bias`.
    pub(crate) fn classifier(&self) -> &'static str {
        match self.kind {
            Kind::Bert | Kind::Pooled => "classifier",
            Kind::Roberta => "classifier.out_proj",
        }
    }

    /// Every tensor of the network with its shape, made one at a time.
    pub(crate) fn tensors<'a>(
        &'a self,
        config: &'a Config,
        labels: usize,
    ) -> impl Iterator<Item = (String, Vec<usize>)> + 'a {
        let (hidden, inner) = (config.hidden, config.intermediate);
        let positions = config.max_position + self.first_position;
        let embeddings = [
            ("word_embeddings.weight", vec![config.vocabulary, hidden]),
            ("position_embeddings.weight", vec![positions, hidden]),
            ("token_type_embeddings.weight", vec![self.types, hidden]),
            ("LayerNorm.weight", vec![hidden]),
            ("LayerNorm.bias", vec![hidden]),
        ];
        let embeddings = embeddings
            .into_iter()
            .map(|(name, shape)| (self.embedding(name), shape));
        let dense = self.dense().map(|name| (name, hidden));
        let head = dense.into_iter().chain([(self.classifier(), labels)]);
        let head = head.flat_map(move |(name, outputs)| {
            [
                (format!("{name}.weight"), vec![outputs, hidden]),
                (format!("{name}.bias"), vec![outputs]),
            ]
        });
        let layer = move |layer| {
            let projections = [
                ("attention.self.query", hidden, hidden),
                ("attention.self.key", hidden, hidden),
                ("attention.self.value", hidden, hidden),
                ("attention.output.dense", hidden, hidden),
                ("intermediate.dense", inner, hidden),
                ("output.dense", hidden, inner),
            ];
            let projections = projections.into_iter().flat_map(|(name, outputs, inputs)| {
                [
                    (format!("{name}.weight"), vec![outputs, inputs]),
                    (format!("{name}.bias"), vec![outputs]),
                ]
            });
            let norms = ["attention.output.LayerNorm", "output.LayerNorm"];
            let norms = norms.into_iter().flat_map(move |name| {
                ["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![hidden]))
            });
            let all = projections.chain(norms);
            all.map(move |(name, shape)| (self.in_layer(layer, &name), shape))
        };
        embeddings
            .chain(head)
            .chain((0..config.layers).flat_map(layer))
    }
}
