//! The two-player game: its rounds, its players and its proposals.
//!
//! [`round`] is one round from top to bottom. [`players`] makes the generator and the judge that
//! the recipe names; a [`proposal`] goes from draft to score between them.

pub(crate) mod answer;
pub(crate) mod budget;
pub(crate) mod calibration;
pub(crate) mod drafts;
pub(crate) mod endpoint_player;
pub(crate) mod ensemble;
pub(crate) mod filters;
pub(crate) mod generator;
pub(crate) mod growth;
pub(crate) mod instructions;
pub(crate) mod judge;
pub(crate) mod kind;
pub(crate) mod language;
pub(crate) mod local_generator;
pub(crate) mod pairs;
pub(crate) mod players;
pub(crate) mod prompt;
pub(crate) mod proposal;
mod reading;
pub(crate) mod reference_judge;
pub(crate) mod refusal;
pub(crate) mod reviewed;
pub(crate) mod round;
mod round_yield;
pub(crate) mod seeds;
pub(crate) mod shared;
pub(crate) mod summary;
pub(crate) mod theory;
