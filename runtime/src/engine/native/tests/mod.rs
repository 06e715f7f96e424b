//! The engine on small made-up networks: against plain loops, and against itself cut in any way.

mod alone;
mod cost;
mod encoders;
mod guard;
mod outliers;
mod streams;
mod whole;
