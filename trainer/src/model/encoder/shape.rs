//! The shape of an encoder, and what of it is trained.

/// The classifier's tensors.
pub(crate) const CLASSIFIER: [&str; 2] = ["classifier.weight", "classifier.bias"];

/// How an encoder is built.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EncoderShape {
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Layers.
    pub layers: usize,
    /// Width.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward part.
    pub intermediate: usize,
    /// Longest input in tokens.
    pub positions: usize,
    /// Rows of the embedding of token types, of which the first is used.
    pub types: usize,
    /// Added to the variance in a norm.
    pub norm_eps: f64,
    /// Rows of the classifier.
    pub outputs: usize,
    /// The lowest layers, which are not trained.
    pub frozen_layers: usize,
    /// A layer learns at this fraction of the rate of the layer above.
    pub layer_decay: f64,
    /// The classifier learns at this multiple of the rate.
    pub classifier_rate: f64,
    /// Probability that a value is dropped where it enters the residual stream, in layers that are
    /// trained, and before the classifier.
    pub dropout: f64,
}

impl EncoderShape {
    /// The fraction of the learning rate at which a layer learns: the last layer's is 1.
    pub(crate) fn rate(&self, layer: usize) -> f64 {
        let below = self.layers.saturating_sub(layer + 1);
        self.layer_decay.powi(below as i32)
    }
}
