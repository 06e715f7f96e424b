//! What a run reports: the scores of its bundles, and a page about its game.

mod game;
pub(crate) mod page;
mod quality;
mod rounds;
mod samples;
pub(crate) mod scores;
