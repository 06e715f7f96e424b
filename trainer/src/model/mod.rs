//! Networks: the decoder, what it generates, what is imported into it, and the linear teacher.
//!
//! This folder and `train` are the ones that hold tensors.

pub(crate) mod backward;
pub(crate) mod bundle;
pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod generate;
pub(crate) mod gradients;
pub(crate) mod head;
pub(crate) mod hugging_face;
pub(crate) mod import;
pub(crate) mod layout;
pub(crate) mod likelihood;
pub(crate) mod linear;
pub(crate) mod network;
pub(crate) mod rounding;
pub(crate) mod sampler;
pub(crate) mod teacher;
pub(crate) mod tensors;
pub(crate) mod torch;
pub(crate) mod weights;
