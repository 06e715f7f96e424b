// y[row] = (y[row] - mean) / deviation * weight + bias, in place; of all rows, or of the first of
// every sequence. A workgroup serves a row.

struct Norm {
    // Quads of a row.
    width: u32,
    // Whether only the first token of every sequence is normalised.
    is_first: u32,
    // What is added to the variance.
    epsilon: f32,
}

@group(0) @binding(1) var<uniform> op: Norm;
// The weights, then the biases.
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

const THREADS: u32 = 64u;

var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let row = select(group.y, group.y * shape.tokens, op.is_first != 0u);
    let start = row * op.width;
    let values = f32(op.width * 4u);
    var sum = 0.0;
    for (var k = index; k < op.width; k += THREADS) {
        sum += dot(y[start + k], vec4<f32>(1.0));
    }
    let mean = total(sum, index) / values;
    // The row is read twice: squares of what is left of the mean lose less.
    var squares = 0.0;
    for (var k = index; k < op.width; k += THREADS) {
        let value = y[start + k] - mean;
        squares += dot(value, value);
    }
    let inverse = inverseSqrt(total(squares, index) / values + op.epsilon);
    for (var k = index; k < op.width; k += THREADS) {
        y[start + k] = (y[start + k] - mean) * inverse * norm[k] + norm[op.width + k];
    }
}

// The sum of what every invocation has.
fn total(value: f32, index: u32) -> f32 {
    sums[index] = value;
    workgroupBarrier();
    for (var half = THREADS / 2u; half >= 1u; half /= 2u) {
        if index < half {
            sums[index] += sums[index + half];
        }
        workgroupBarrier();
    }
    let all = sums[0];
    // Nobody writes again before all have read.
    workgroupBarrier();
    return all;
}
