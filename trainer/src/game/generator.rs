//! The generator: who writes proposals.

use crate::error::TrainError;
use crate::game::kind::Wanted;

/// A text that is wanted, and the seed of its randomness.
#[derive(Clone, Debug)]
pub(crate) struct GeneratorRequest<'a> {
    /// What is asked for.
    pub wanted: Wanted<'a>,
    /// The same request and randomness give the same text.
    pub randomness: u64,
}

/// Writes texts.
pub(crate) trait Generator {
    /// One answer per request, in their order; `None` where no text was finished.
    ///
    /// # Errors
    /// Nothing can be written at all; a request that fails alone is a `None`.
    fn write(
        &mut self,
        requests: &[GeneratorRequest<'_>],
    ) -> Result<Vec<Option<String>>, TrainError>;
}

impl<G: Generator + ?Sized> Generator for &mut G {
    fn write(
        &mut self,
        requests: &[GeneratorRequest<'_>],
    ) -> Result<Vec<Option<String>>, TrainError> {
        (**self).write(requests)
    }
}
