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
    // Which tokens of a sequence are read, and written: 0 all, 1 the last, 2 the first.
    x_tokens: u32,
    y_tokens: u32,
    // Whether there is a row for every sequence, not for every token.
    is_per_sequence: u32,
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
    return select(shape.rows * shape.tokens, shape.rows, op.is_per_sequence != 0u);
}

// Where a row lies in a buffer that has a row for every token, if only some tokens count.
fn place_of(row: u32, tokens: u32) -> u32 {
    let first = row * shape.tokens;
    return select(row, select(first, first + shape.tokens - 1u, tokens == 1u), tokens != 0u);
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
    let start = place_of(row, op.y_tokens) * op.y_stride + op.y_offset;
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
        y[start + quad] = activated(value);
//# end
    }
}
//# end

//# if GELU
// The normal distribution's cumulative function of x, times x. By Abramowitz and Stegun, 7.1.26,
// which is off by 1.5e-7.
fn activated(x: vec4<f32>) -> vec4<f32> {
    let size = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * size);
    let sum = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    let error = sign(x) * (1.0 - sum * exp(-size * size));
    return 0.5 * x * (1.0 + error);
}
//# else
//# if GELU_TANH
fn activated(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * (1.0 + bounded_tanh(0.7978845608 * (x + 0.044715 * x * x * x)));
}
//# else
//# if TANH
fn activated(x: vec4<f32>) -> vec4<f32> {
    return bounded_tanh(x);
}
//# else
fn activated(x: vec4<f32>) -> vec4<f32> {
    return x;
}
//# end
//# end
//# end

// Beyond 10 the tanh of a float is 1; drivers may make it of powers that are infinite.
fn bounded_tanh(x: vec4<f32>) -> vec4<f32> {
    return tanh(clamp(x, vec4<f32>(-10.0), vec4<f32>(10.0)));
}

// One quad of normalised x, but for the division by the root mean square, which waits until the
// squares are summed.
fn normed(value: vec4<f32>, quad: u32) -> vec4<f32> {
//# if NORM
    return value * norm[quad];
//# else
    return value;
//# end
}
