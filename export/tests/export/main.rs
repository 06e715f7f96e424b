//! From checkpoint to bundle, on networks small enough to make up on the spot.

mod calibration;
mod certificate;
mod damaged;
mod encoders;
mod gguf;
mod parity;
mod publishing;
mod shards;
mod strays;
mod streams;
mod support;
mod tokenizers;
