//! Sets of up to 64 places, a bit for each; the lowest bit is the first place.
//!
//! Examples show a set place by place from the left, `x` for one that is in it.

/// How many places a set has.
pub(super) const SIZE: usize = u64::BITS as usize;

/// Does something for each of a set.
#[inline(always)]
pub(super) fn each(mut set: u64, mut does: impl FnMut(usize)) {
    while set != 0 {
        does(set.trailing_zeros() as usize);
        set &= set - 1;
    }
}

/// How many there are of a set.
#[inline(always)]
pub(super) fn count(set: u64) -> usize {
    set.count_ones() as usize
}

/// How many of a set follow each other from `start` on.
///
/// ```text
/// set      .xxxx.xx.xxxxxx.
/// start    .........^         6
/// ```
#[inline(always)]
pub(super) fn run_from(set: u64, start: usize) -> usize {
    (set >> start).trailing_ones() as usize
}

/// `count` of a set from `start` on, as a set.
///
/// ```text
/// set      .xxxx.xx.xxxxxx.
/// start    .........^         and a count of 2
/// some     .........xx.....
/// ```
#[inline(always)]
pub(super) fn some_from(set: u64, start: usize, count: usize) -> u64 {
    set & u64::MAX << start & u64::MAX >> (SIZE - start - count)
}

/// Those of a set from which on `1 << doublings` of it follow each other.
///
/// ```text
/// set      .xxxx.xx.xxxxxx.
/// 1        .xxx..x..xxxxx..   two
/// 2        .x.......xxx....   four
/// ```
#[inline(always)]
pub(super) fn runs_of(set: u64, doublings: u32) -> u64 {
    (0..doublings).fold(set, |runs, n| runs & runs >> (1 << n))
}

/// The run of a set that one of it is in.
///
/// ```text
/// set      .xxxx.xx.xxxxxx.
/// one      ..........^
/// run      .........xxxxxx.
/// ```
#[inline(always)]
pub(super) fn run_with(set: u64, one: usize) -> u64 {
    let after = (set >> one).trailing_ones() as usize;
    let before = (set << (SIZE - 1 - one)).leading_ones() as usize;
    let start = one + 1 - before;
    u64::MAX >> (SIZE - (one + after - start)) << start
}

/// The places after those runs of a set that have one of `some`, which are of the set, in them: in
/// the sum of both, a run with one of `some` carries to the place after it.
///
/// ```text
/// set      .xxxx.xx.xxxxxx.
/// some     ..x.......x.x...
/// ends     .....x.........x
/// ```
#[inline(always)]
pub(super) fn ends_of_runs_with(set: u64, some: u64) -> u128 {
    (u128::from(set) + u128::from(some)) & !u128::from(set)
}

/// The set that a row of an example shows.
#[cfg(test)]
pub(super) fn shown(row: &str) -> u64 {
    let bits = row.bytes().enumerate();
    bits.fold(0, |set, (n, byte)| set | u64::from(byte == b'x') << n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_as_their_examples_show() {
        let set = shown(".xxxx.xx.xxxxxx.");
        assert_eq!(run_from(set, 9), 6);
        assert_eq!(some_from(set, 9, 2), shown(".........xx....."));
        assert_eq!(runs_of(set, 1), shown(".xxx..x..xxxxx.."));
        assert_eq!(runs_of(set, 2), shown(".x.......xxx...."));
        assert_eq!(run_with(set, 10), shown(".........xxxxxx."));
        let ends = ends_of_runs_with(set, shown("..x.......x.x..."));
        assert_eq!(ends, u128::from(shown(".....x.........x")));
    }
}
