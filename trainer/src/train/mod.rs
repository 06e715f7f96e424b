//! Training: the loop that all stages share, the stages, and what they leave on disk.

pub mod checkpoint;
pub mod classifier;
pub mod device;
pub mod loss;
pub mod optimizer;
pub mod preference;
pub mod pretrain;
pub mod probe;
pub mod progress;
pub mod stage;
