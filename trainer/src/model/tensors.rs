//! Between tensors and numbers on the host.

use burn::tensor::{Int, Tensor, TensorData};

/// A tensor's values on the host.
pub(crate) fn host(tensor: &Tensor<2>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

/// The rows `indices` of a matrix: `[N, C]` to `[indices, C]`.
pub(crate) fn select_rows(matrix: &Tensor<2>, indices: &[usize]) -> Tensor<2> {
    let count = indices.len();
    let indices: Vec<i32> = indices.iter().map(|&row| row as i32).collect();
    let indices = TensorData::new(indices, [count]);
    let indices = Tensor::<1, Int>::from_data(indices, &matrix.device());
    matrix.clone().select(0, indices)
}

/// Transposes [rows, columns] values.
pub(crate) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values[row * columns + column]));
    }
    out
}
