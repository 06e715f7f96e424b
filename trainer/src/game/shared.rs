//! Requests to a player, shared out to the processes of a run.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::distributed::ProcessGroup;
use crate::error::TrainError;

/// Which processes answer requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Askers<'a> {
    /// The processes of the run.
    pub group: &'a ProcessGroup,
    /// Whether each answers a part: a player behind an endpoint is asked by the first process
    /// alone, which has many requests under way at once.
    pub all: bool,
}

impl Askers<'_> {
    /// One answer per request, in their order, in every process. `answer` is called with this
    /// process's part; parts are cut at multiples of `unit` requests.
    ///
    /// # Errors
    /// As `answer`.
    pub(crate) fn ask<Q, A: Serialize + DeserializeOwned>(
        self,
        requests: &[Q],
        unit: usize,
        answer: impl FnOnce(&[Q]) -> Result<Vec<A>, TrainError>,
    ) -> Result<Vec<A>, TrainError> {
        let Self { group, all } = self;
        if group.size() == 1 {
            return answer(requests);
        }
        let units = requests.len().div_ceil(unit);
        let bound = |rank: usize| match all {
            true => (units * rank / group.size() * unit).min(requests.len()),
            false if rank == 0 => 0,
            false => requests.len(),
        };
        let own = &requests[bound(group.rank())..bound(group.rank() + 1)];
        let own = match own.is_empty() {
            true => Vec::new(),
            false => answer(own)?,
        };
        let unreadable = |e: serde_json::Error| TrainError::Distributed(e.to_string());
        let mut answers = Vec::with_capacity(requests.len());
        for part in group.gather(serde_json::to_vec(&own).map_err(unreadable)?) {
            let part: Vec<A> = serde_json::from_slice(&part).map_err(unreadable)?;
            answers.extend(part);
        }
        Ok(answers)
    }
}
