//! Work on many items at once, each thread with tools of its own.
//!
//! Plain threads, not rayon's: an engine has a thread pool of its own, and one of rayon's threads
//! that waits for another pool takes on further items meanwhile, one within the other, until its
//! stack ends.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::ExportError;

/// Calls `run` on every item, on all cores, with what `tools` made for the thread. Results come in
/// the order of the items; after an error no further item is begun.
pub(crate) fn map<T: Sync, R: Send, S>(
    items: &[T],
    tools: impl Fn() -> Result<S, ExportError> + Sync,
    run: impl Fn(&mut S, &T) -> Result<R, ExportError> + Sync,
) -> Result<Vec<R>, ExportError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, R)>, ExportError> {
        let mut results = Vec::new();
        let mut tools = tools()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return Ok(results);
            };
            match run(&mut tools, item) {
                Ok(result) => results.push((index, result)),
                Err(error) => {
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let results: Result<Vec<_>, _> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores.min(items.len()))
            .map(|_| scope.spawn(work))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let mut results: Vec<_> = results?.into_iter().flatten().collect();
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_an_error_ends_the_work() {
        let items: Vec<usize> = (0..10_000).collect();
        let squares = map(&items, || Ok(()), |(), i| Ok(i * i)).unwrap();
        assert!(
            squares
                .iter()
                .enumerate()
                .all(|(i, square)| *square == i * i)
        );
        let calls = AtomicUsize::new(0);
        let failed = map(
            &items,
            || Ok(()),
            |(), _| -> Result<(), _> {
                calls.fetch_add(1, Ordering::Relaxed);
                Err(ExportError::Option("no".to_owned()))
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert!(calls.load(Ordering::Relaxed) < items.len());
        assert!(map(&[0; 0], || Ok(()), |(), _| Ok(())).unwrap().is_empty());
    }
}
