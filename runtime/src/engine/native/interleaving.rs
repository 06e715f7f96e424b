//! The weights of four inputs, side by side for every column.
//!
//! Said with instructions that every CPU of an architecture has: compilers made scalar code of the
//! loops below, which took three quarters of the time that packing takes.

use super::kernels::{LANES, Line};

/// The line of sixteen columns of four rows.
#[inline(always)]
pub(super) fn interleave(rows: [&[u8; LANES]; 4]) -> Line {
    let mut line = Line([0; 4 * LANES]);
    #[cfg(target_arch = "x86_64")]
    sse2(rows, &mut line.0);
    #[cfg(target_arch = "aarch64")]
    neon(rows, &mut line.0);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    scalar(rows, &mut line.0);
    line
}

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn scalar(rows: [&[u8; LANES]; 4], line: &mut [i8; 4 * LANES]) {
    for (lane, bytes) in line.as_chunks_mut().0.iter_mut().enumerate() {
        *bytes = rows.map(|row| row[lane] as i8);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn sse2(rows: [&[u8; LANES]; 4], line: &mut [i8; 4 * LANES]) {
    use std::arch::x86_64::*;

    // SAFETY: every CPU of this architecture has SSE2; what is read and written are whole arrays
    // behind references.
    unsafe {
        let [a, b, c, d] = rows.map(|row| _mm_loadu_si128(row.as_ptr().cast()));
        let first = [_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d)];
        let second = [_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d)];
        let to: *mut __m128i = line.as_mut_ptr().cast();
        for (half, [ab, cd]) in [first, second].into_iter().enumerate() {
            _mm_storeu_si128(to.add(2 * half), _mm_unpacklo_epi16(ab, cd));
            _mm_storeu_si128(to.add(2 * half + 1), _mm_unpackhi_epi16(ab, cd));
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn neon(rows: [&[u8; LANES]; 4], line: &mut [i8; 4 * LANES]) {
    use std::arch::aarch64::*;

    // SAFETY: every CPU that Rust's targets of this architecture name has NEON; what is read and
    // written are whole arrays behind references.
    unsafe {
        let [a, b, c, d] = rows.map(|row| vld1q_u8(row.as_ptr()));
        vst4q_u8(line.as_mut_ptr().cast(), uint8x16x4_t(a, b, c, d));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_that_of_plain_loops() {
        let rows: [[u8; LANES]; 4] =
            std::array::from_fn(|row| std::array::from_fn(|lane| (row * LANES + lane + 99) as u8));
        let mut expected = [0; 4 * LANES];
        scalar(rows.each_ref(), &mut expected);
        assert_eq!(interleave(rows.each_ref()).0, expected);
    }
}
