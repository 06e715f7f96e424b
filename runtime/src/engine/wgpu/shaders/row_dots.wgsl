// Few rows, rounded to int8: 8 x 32 invocations make 16 quads of one row; each of the 32 sums every
// 32nd quad of inputs.

const PAIR: u32 = 8u;

var<workgroup> first_sums: array<vec4<i32>, 256>;
var<workgroup> second_sums: array<vec4<i32>, 256>;
var<workgroup> maxima: array<f32, 256>;
var<workgroup> squares: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let tx = index % 8u;
    let lane = index / 8u;
//# if SWIGLU
    let quad = group.x * 8u + tx;
//# else
    let quad = group.x * 16u + tx;
//# end
    let second = second_quad(quad);
    let x_start = place_of(group.y, op.x_tokens) * op.x_stride;

    // The row is read twice: it cannot be rounded before its largest value is known.
    var largest = 0.0;
    var square = 0.0;
    for (var k = index; k < op.inputs; k += 256u) {
        let value = x[x_start + k];
        square += dot(value, value);
        largest = max(largest, largest_of(normed(value, k)));
    }
    maxima[index] = largest;
    squares[index] = square;
    workgroupBarrier();
    for (var half = 128u; half >= 1u; half /= 2u) {
        if index < half {
            maxima[index] = max(maxima[index], maxima[index + half]);
            squares[index] += squares[index + half];
        }
        workgroupBarrier();
    }
    let inverse = inverse_scale(maxima[0]);

    let has_first = quad < op.outputs;
    let has_second = second < op.width;
    var first_sum = vec4<i32>(0);
    var second_sum = vec4<i32>(0);
    for (var k = lane; k < op.inputs; k += 32u) {
        let word = rounded(normed(x[x_start + k], k), inverse);
        let place = k * 4u * op.width;
        if has_first {
            first_sum += dots(weight_block(place + quad), word);
        }
        if has_second {
            second_sum += dots(weight_block(place + second), word);
        }
    }
    first_sums[index] = first_sum;
    second_sums[index] = second_sum;
    workgroupBarrier();
    for (var half = 128u; half >= 8u; half /= 2u) {
        if index < half {
            first_sums[index] += first_sums[index + half];
            second_sums[index] += second_sums[index + half];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        let scale = scale_of_row(maxima[0], squares[0]);
        store(group.y, quad, vec4<f32>(first_sums[index]), vec4<f32>(second_sums[index]), scale);
    }
}
