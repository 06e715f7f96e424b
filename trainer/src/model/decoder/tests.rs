use super::*;
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
    };
    Decoder::new(&shape, 50, 3, &Device::flex().autodiff())
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
    let first = host(&decoder.hidden(&[5, 9, 2, 11], 1, 4));
    let second = host(&decoder.hidden(&[5, 9, 2, 30], 1, 4));
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
    let whole = host(&decoder.hidden(&[first, second].concat(), 2, 5));
    let mut cache = Cache::default();
    decoder.forward(&[5, 9, 7, 7], 2, 2, &mut cache);
    // Three rows from here on: the second text twice.
    let mut cache = cache.select(&[1, 0, 1], 2);
    decoder.forward(&[1, 0, 2, 11, 1, 0], 3, 2, &mut cache);
    let last = host(&decoder.forward(&[4, 3, 4], 3, 1, &mut cache));
    assert_eq!(cache.tokens, 5);
    for (row, index) in [(0, 9), (1, 4), (2, 9)] {
        close(&last[row * 24..][..24], &whole[index * 24..][..24]);
    }
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
