//! Threads that do one thing after another together, for as long as a forward pass lasts.
//!
//! Between two things they look for the next one without going to sleep: a pass has two things to
//! do for every layer, and to wake a thread takes as long as a part of one.

use std::hint::spin_loop;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, yield_now};

/// Looks that a thread takes before it lets others have its core in between: some 10 µs.
const LOOKS: usize = 1 << 10;

/// Does a part, by its number.
type Work = dyn Fn(usize) + Sync;

/// A thing to do.
#[derive(Clone, Copy)]
struct Thing {
    /// A multiple of [`THING`]; the next one's is larger.
    number: u64,
    parts: usize,
    /// It is there for as long as a part is not done.
    work: *const Work,
}

// SAFETY: the function may be called from any thread, and is called for parts that were taken
// alone.
unsafe impl Send for Thing {}

/// The thread that began a pass, and those that help it.
pub(super) struct Team {
    threads: usize,
    /// The last thing, or the one that comes next.
    thing: Mutex<Option<Thing>>,
    /// The number of the last thing, plus how many of its parts were taken.
    taken: AtomicU64,
    /// Parts of the last thing that are done.
    done: AtomicUsize,
    is_over: AtomicBool,
}

/// From the number of a thing to that of the next one.
const THING: u64 = 1 << 32;

impl Team {
    /// Calls `pass` with a team of at most so many threads: this one, and what others there are.
    pub(super) fn of<R>(threads: usize, pass: impl FnOnce(&Self) -> R) -> R {
        let team = Self {
            threads,
            thing: Mutex::new(None),
            taken: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        };
        if threads == 1 {
            return pass(&team);
        }
        std::thread::scope(|scope| {
            let _end = AtEnd(|| team.is_over.store(true, Ordering::Release));
            for _ in 1..threads {
                // A pass does without the threads that cannot be had.
                if Builder::new().spawn_scoped(scope, || team.help()).is_err() {
                    break;
                }
            }
            pass(&team)
        })
    }

    /// How many they are at most.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Does all parts of a thing, each once, on the threads that are there.
    pub(super) fn run(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        if parts <= 1 {
            return (0..parts).for_each(work);
        }
        let work: *const (dyn Fn(usize) + Sync + '_) = work;
        let thing = Thing {
            number: (self.taken.load(Ordering::Relaxed) | (THING - 1)).wrapping_add(1),
            parts,
            // SAFETY: what it points to is there until this function returns or unwinds; no part
            // can be taken any more then, and those that were are done.
            work: unsafe {
                mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Work>(work)
            },
        };
        self.done.store(0, Ordering::Relaxed);
        *self.thing.lock().unwrap_or_else(PoisonError::into_inner) = Some(thing);
        self.taken.store(thing.number, Ordering::Release);
        let _end = AtEnd(|| {
            // Where this thread unwinds, parts are left that nobody else may take.
            while self.take(thing).is_some() {
                self.done.fetch_add(1, Ordering::Release);
            }
            let mut looks = 0;
            while self.done.load(Ordering::Acquire) < parts {
                look(&mut looks);
            }
        });
        self.share(thing);
    }

    /// Takes parts of things and does them, until the pass is over.
    fn help(&self) {
        let (mut last, mut looks) = (0, 0);
        while !self.is_over.load(Ordering::Acquire) {
            let number = self.taken.load(Ordering::Acquire) & !(THING - 1);
            if number == last {
                look(&mut looks);
                continue;
            }
            (last, looks) = (number, 0);
            // It may be the next one already, of which nothing can be taken yet.
            let thing = *self.thing.lock().unwrap_or_else(PoisonError::into_inner);
            thing.into_iter().for_each(|thing| self.share(thing));
        }
    }

    /// Does parts of a thing until all were taken.
    fn share(&self, thing: Thing) {
        while let Some(part) = self.take(thing) {
            let _done = AtEnd(|| {
                self.done.fetch_add(1, Ordering::Release);
            });
            // SAFETY: this part is not done, so that `run` is waiting for it.
            unsafe { (*thing.work)(part) };
        }
    }

    /// The next part of a thing, if it is the last one still and a part is left.
    fn take(&self, thing: Thing) -> Option<usize> {
        let next = |taken: u64| {
            let is_last = taken & !(THING - 1) == thing.number;
            (is_last && taken - thing.number < thing.parts as u64).then_some(taken + 1)
        };
        let taken = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        taken.ok().map(|taken| (taken - thing.number) as usize)
    }
}

/// Waits a little.
fn look(looks: &mut usize) {
    *looks += 1;
    match *looks < LOOKS {
        true => spin_loop(),
        false => yield_now(),
    }
}

/// Calls a function where a scope ends, in whatever way.
struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn every_part_is_done_once_before_the_next_thing_begins() {
        for threads in [1, 2, 5] {
            Team::of(threads, |team| {
                let counts: Vec<_> = (0..7).map(|_| AtomicUsize::new(0)).collect();
                for thing in 1..200 {
                    let parts = thing % 8;
                    let before = &counts[..parts];
                    let seen: Vec<_> = before.iter().map(|c| c.load(Ordering::Relaxed)).collect();
                    team.run(parts, &|part| {
                        counts[part].fetch_add(1, Ordering::Relaxed);
                    });
                    for (count, seen) in before.iter().zip(seen) {
                        assert_eq!(count.load(Ordering::Relaxed), seen + 1);
                    }
                }
            });
        }
    }

    #[test]
    fn a_part_that_panics_ends_the_pass_and_nothing_hangs() {
        for thread_of in [0, 3] {
            let done = AtomicUsize::new(0);
            let pass = || {
                Team::of(3, |team| {
                    team.run(4, &|part| {
                        assert_ne!(part, thread_of, "as the test wants");
                        done.fetch_add(1, Ordering::Relaxed);
                    });
                });
            };
            assert!(catch_unwind(AssertUnwindSafe(pass)).is_err());
            assert!(done.load(Ordering::Relaxed) <= 3);
        }
    }
}
