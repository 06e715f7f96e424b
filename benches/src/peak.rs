//! The most that a core can do.

/// Int8 multiply-adds a second of one core, from registers to registers: sixteen independent sums
/// of `vpdpbusd`, 64 products each, the least time of many. `None` where the CPU has no AVX-512
/// VNNI.
pub fn int8_peak() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    return of_avx512();
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(target_arch = "x86_64")]
fn of_avx512() -> Option<f64> {
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use std::time::Instant;

    const ROUNDS: usize = 4000;
    const RUNS: usize = 300;

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn sums() -> i32 {
        let mut sums = [_mm512_set1_epi32(black_box(1)); 16];
        let x = _mm512_set1_epi8(black_box(3));
        let weights = _mm512_set1_epi8(black_box(2));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, x, weights);
            }
        }
        let total = sums.into_iter().reduce(|a, b| _mm512_add_epi32(a, b));
        _mm512_reduce_add_epi32(total.expect("there are sums"))
    }

    if !is_x86_feature_detected!("avx512f") || !is_x86_feature_detected!("avx512vnni") {
        return None;
    }
    let times = (0..RUNS).map(|_| {
        let started = Instant::now();
        // SAFETY: the CPU has the features, as was just seen.
        black_box(unsafe { sums() });
        started.elapsed().as_secs_f64()
    });
    Some((ROUNDS * 16 * 64) as f64 / times.fold(f64::INFINITY, f64::min))
}
