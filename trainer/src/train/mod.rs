//! Training: the loop that all stages share, the stages, and what they leave on disk.

pub(crate) mod checkpoint;
pub(crate) mod classifier;
pub(crate) mod device;
pub(crate) mod early_stop;
pub(crate) mod generator;
pub(crate) mod language;
pub(crate) mod loss;
pub(crate) mod optimizer;
pub(crate) mod preference;
pub(crate) mod pretrain;
pub(crate) mod probe;
pub(crate) mod progress;
pub(crate) mod stage;
pub(crate) mod turns;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_encoder;
