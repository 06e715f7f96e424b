//! The two-player game: its rounds, its players and its proposals.

pub mod endpoint_player;
pub mod generator;
pub mod instructions;
pub mod judge;
pub mod local_generator;
pub mod prompt;
pub mod proposal;
pub mod round;
pub mod summary;
pub mod theory;
