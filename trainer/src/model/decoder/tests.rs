use super::*;
use crate::model::layout::CATEGORIES;
use crate::model::tensors::host;

fn decoder() -> Decoder {
    let shape = ModelRecipe {
        layers: 2,
        hidden: 24,
        heads: 6,
        kv_heads: 2,
        intermediate: 20,
        max_position: 32,
        rope_theta: 10000.0,
        norm_eps: 1e-6,
        rope_scaling: None,
        tied: true,
        qkv_bias: true,
    };
    Decoder::new(&shape, 50, 3, &Device::Cpu)
}

fn close(a: &[f32], b: &[f32]) {
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn padding_and_neighbours_do_not_change_a_row() {
    let decoder = decoder();
    let alone = host(&decoder.logits(&[5, 9, 2], &[3], 3));
    let together = host(&decoder.logits(&[5, 9, 2, 0, 0, 7, 7, 8, 1, 4], &[3, 5], 5));
    close(&alone, &together[..CATEGORIES]);
}

#[test]
fn a_later_token_never_changes_an_earlier_place() {
    let decoder = decoder();
    let first = host(&decoder.hidden(&[5, 9, 2, 11], [1, 4], None));
    let second = host(&decoder.hidden(&[5, 9, 2, 30], [1, 4], None));
    close(&first[..3 * 24], &second[..3 * 24]);
    assert!(
        first[3 * 24..]
            .iter()
            .zip(&second[3 * 24..])
            .any(|(a, b)| (a - b).abs() > 1e-3)
    );
}

#[test]
fn reading_in_pieces_is_reading_at_once() {
    let decoder = decoder();
    let (first, second) = ([5, 9, 2, 11, 3], [7, 7, 1, 0, 4]);
    let whole = host(&decoder.hidden(&[first, second].concat(), [2, 5], None));
    let mut cache = Cache::new(&decoder.shape, 2, 5, decoder.options());
    let last = host(&decoder.read(&[5, 9, 2, 7, 7, 1], 2, &mut cache));
    close(&last[..24], &whole[2 * 24..][..24]);
    close(&last[24..], &whole[7 * 24..][..24]);
    // Three rows from here on: the second text twice.
    cache.select(&decoder.indices(&[1i64, 0, 1]));
    let _ = decoder.read(&[0, 11, 0], 3, &mut cache);
    let last = host(&decoder.read(&[4, 3, 4], 3, &mut cache));
    assert_eq!(cache.tokens(), 5);
    for (row, index) in [(0, 9), (1, 4), (2, 9)] {
        close(&last[row * 24..][..24], &whole[index * 24..][..24]);
    }
}

#[test]
fn places_that_are_wanted_are_those_of_the_whole() {
    let decoder = decoder();
    let ids = [5, 9, 2, 11, 3, 7, 7, 1, 0, 4];
    let whole = host(&decoder.hidden(&ids, [2, 5], None));
    let wanted = host(&decoder.hidden(&ids, [2, 5], Some(&[8, 1])));
    close(&wanted[..24], &whole[8 * 24..][..24]);
    close(&wanted[24..], &whole[24..][..24]);
    assert_eq!(wanted.len(), 2 * 24);
}

#[test]
fn a_clone_keeps_its_weights() {
    let decoder = decoder();
    let mut clone = decoder.clone();
    let _ = clone.weights.flat.g_mul_scalar_(2.0);
    let ids = [5, 9, 2];
    assert_ne!(
        host(&clone.logits(&ids, &[3], 3)),
        host(&decoder.logits(&ids, &[3], 3))
    );
}

#[test]
fn order_matters() {
    let decoder = decoder();
    let (ab, ba) = (
        host(&decoder.logits(&[5, 9, 2], &[3], 3)),
        host(&decoder.logits(&[9, 5, 2], &[3], 3)),
    );
    assert!(ab.iter().zip(&ba).any(|(a, b)| (a - b).abs() > 1e-6));
}

#[test]
fn further_outputs_come_after_those_that_are_there_and_leave_them_as_they_were() {
    let decoder = decoder();
    let logits = |decoder: &Decoder| host(&decoder.logits(&[4, 7, 9], &[3], 3));
    let before = logits(&decoder);
    let mut wide = decoder.with_outputs(CATEGORIES + 5);
    let found = logits(&wide);
    close(&found[..CATEGORIES], &before);
    assert_eq!(found[CATEGORIES..], [0.0; 5]);
    wide.reset_score(8);
    let drawn = logits(&wide);
    assert!(drawn[CATEGORIES..].iter().all(|&logit| logit != 0.0));
    let narrow = wide.with_outputs(CATEGORIES);
    close(&logits(&narrow), &drawn[..CATEGORIES]);
    assert_eq!(logits(&narrow).len(), CATEGORIES);
}
