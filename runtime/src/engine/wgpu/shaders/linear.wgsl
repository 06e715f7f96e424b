// y = epilogue(norm(x) * weights * scale + bias). What the ways to multiply have in common.

struct Linear {
    // Quads of x that are summed over, and the quads from a row of x to the next.
    inputs: u32,
    x_stride: u32,
    // Quads of y that are made, quads from a row of y to the next, and where in a row they begin.
    outputs: u32,
    y_stride: u32,
    y_offset: u32,
    // Quads of a row of weights.
    width: u32,
    // Whether only the last token of every sequence is read, or written; the other side then has a
    // row a sequence.
    x_last: u32,
    y_last: u32,
    // Values that the mean square is taken over, and what is added to it.
    mean_over: f32,
    epsilon: f32,
}

@group(0) @binding(1) var<uniform> op: Linear;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> weights: array<$WORD>;
// The scales of all columns, then their biases.
@group(0) @binding(5) var<storage, read> columns: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

fn row_count() -> u32 {
    return select(shape.rows * shape.tokens, shape.rows, (op.x_last | op.y_last) != 0u);
}

// Where a row lies in a buffer that has a row for every token, if only the last tokens count.
fn place_of(row: u32, is_last: u32) -> u32 {
    return select(row, (row + 1u) * shape.tokens - 1u, is_last != 0u);
}

// Each invocation makes two quads of a row. The second lies further along in y, or, for SwiGLU, is
// the `up` to the first one's `gate`.
fn second_quad(first: u32) -> u32 {
//# if SWIGLU
    return first + op.outputs;
//# else
    return first + PAIR;
//# end
}

fn finish(sum: vec4<f32>, column: u32, row_scale: f32) -> vec4<f32> {
    return sum * (columns[column] * row_scale) + columns[op.width + column];
}

fn store(row: u32, quad: u32, first: vec4<f32>, second: vec4<f32>, row_scale: f32) {
    let start = place_of(row, op.y_last) * op.y_stride + op.y_offset;
//# if SWIGLU
    if quad < op.outputs {
        let gate = finish(first, quad, row_scale);
        let up = finish(second, second_quad(quad), row_scale);
        y[start + quad] = gate / (1.0 + exp(-gate)) * up;
    }
//# else
    put(start, quad, first, row_scale);
    put(start, second_quad(quad), second, row_scale);
//# end
}

//# if SWIGLU
//# else
fn put(start: u32, quad: u32, sum: vec4<f32>, row_scale: f32) {
    if quad < op.outputs {
        let value = finish(sum, quad, row_scale);
//# if ADD
        y[start + quad] += value;
//# else
        y[start + quad] = value;
//# end
    }
}
//# end

// One quad of normalised x, but for the division by the root mean square, which waits until the
// squares are summed.
fn normed(value: vec4<f32>, quad: u32) -> vec4<f32> {
//# if NORM
    return value * norm[quad];
//# else
    return value;
//# end
}
