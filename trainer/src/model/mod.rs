//! Networks: the decoder, what it writes, what is imported into it, and the linear teacher.

pub mod decoder;
pub mod generate;
pub mod import;
pub mod linear;
pub mod recompute;
pub mod teacher;
