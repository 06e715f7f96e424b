//! A student's embedding from that of an encoder with another tokenizer.
//!
//! A token's text is cut by the encoder's tokenizer, and the mean of those pieces' embeddings, seen
//! along the directions in which such means differ most, is where the token starts: words of like
//! meaning begin near each other, in all languages that the encoder knows.

use std::path::Path;

use tch::{Device, Kind, Tensor, no_grad};

use crate::data::tokenizer::Tokenizer;
use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::encoder::folder::word_embedding;

/// Standard deviation of the values: several times that of random ones, so that a step changes
/// little of what they say.
const DEVIATION: f64 = 0.1;

/// Sets the embedding of `student` from the encoder in `folder`. Tokens that are no text, such as
/// parts of a character, keep the direction that they were drawn in.
///
/// # Errors
/// A file that cannot be read, a tensor that is missing, and an embedding that is narrower than the
/// student's.
pub(crate) fn take_over(
    student: &mut Decoder,
    tokenizer: &Tokenizer,
    folder: &Path,
) -> Result<(), TrainError> {
    let pieces = Tokenizer::load(&folder.join("tokenizer.json"))?;
    let (values, width) = word_embedding(folder)?;
    let hidden = student.shape.hidden as i64;
    if (width as i64) < hidden {
        let reason = format!("its embedding is {width} wide; model.hidden, {hidden}, is more");
        return Err(TrainError::invalid(folder, reason));
    }
    let (mut tokens, mut means) = (Vec::new(), Vec::new());
    for token in 0..tokenizer.vocabulary() {
        let found = pieces_of(tokenizer, token as u32, &pieces);
        let rows = found
            .iter()
            .map(|&piece| values.get(piece as usize * width..));
        let Some(rows) = rows
            .collect::<Option<Vec<&[f32]>>>()
            .filter(|rows| !rows.is_empty())
        else {
            continue;
        };
        tokens.push(token as i64);
        means.extend(
            (0..width)
                .map(|column| rows.iter().map(|row| row[column]).sum::<f32>() / rows.len() as f32),
        );
    }
    let means = Tensor::from_slice(&means).view([-1, width as i64]);
    let projected = principal(&means, hidden);
    let tokens = Tensor::from_slice(&tokens);
    no_grad(|| {
        let device = student.embedding.value.device();
        let random = student.embedding.value.to_device(Device::Cpu);
        let mut all = random.copy() * (DEVIATION / deviation(&random));
        let _ = all.index_copy_(
            0,
            &tokens,
            &(&projected * (DEVIATION / deviation(&projected))),
        );
        student.embedding.value.copy_(&all.to_device(device));
    });
    Ok(())
}

/// The pieces of a token's text; none where it has no text of its own.
fn pieces_of(tokenizer: &Tokenizer, token: u32, pieces: &Tokenizer) -> Vec<u32> {
    let text = tokenizer.decode(&[token]);
    let word = text.trim();
    if word.is_empty() || word.contains('\u{fffd}') {
        return Vec::new();
    }
    // What does not begin a word is a piece of its own there, where it is one.
    let inside = pieces
        .id(word)
        .filter(|_| !text.starts_with(char::is_whitespace));
    inside.map_or_else(|| pieces.encode(word), |piece| vec![piece])
}

/// The rows `[n, width]`, less their mean, along their first `dims` principal directions.
fn principal(rows: &Tensor, dims: i64) -> Tensor {
    let centred = rows - rows.mean_dim([0].as_slice(), true, Kind::Float);
    let exact = centred.to_kind(Kind::Double);
    let (_, directions) = exact.tr().matmul(&exact).linalg_eigh("L");
    let width = directions.size()[1];
    let largest = directions.narrow(1, width - dims, dims).flip([1]);
    exact.matmul(&largest).to_kind(Kind::Float)
}

fn deviation(values: &Tensor) -> f64 {
    values.std(false).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_distances_along_the_principal_directions() {
        // Four columns, of which two are combinations of the others.
        let rows: Vec<f32> = (0..30)
            .flat_map(|i| {
                let (a, b) = ((i as f32 * 0.7).sin(), (i as f32 * 1.9).cos());
                [a, b, a + b, 2.0 * a - b]
            })
            .collect();
        let rows = Tensor::from_slice(&rows).view([30, 4]);
        let found = principal(&rows, 2);
        assert_eq!(found.size(), [30, 2]);
        let distance = |x: &Tensor, i, j| (x.get(i) - x.get(j)).norm().double_value(&[]);
        for (i, j) in [(0, 1), (3, 17), (9, 28)] {
            assert!((distance(&rows, i, j) - distance(&found, i, j)).abs() < 1e-4);
        }
        // The first direction is that of most variance.
        let spread = |column| deviation(&found.select(1, column));
        assert!(spread(0) > spread(1));
    }
}
