//! From checkpoint to bundle, on networks small enough to make up on the spot.

mod calibration;
mod damaged;
mod parity;
mod publishing;
mod support;
