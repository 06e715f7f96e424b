// Few rows: 8 x 32 invocations make 16 quads of one row; each of the 32 sums every 32nd quad of
// inputs.

const PAIR: u32 = 8u;

var<workgroup> first_sums: array<vec4<f32>, 256>;
var<workgroup> second_sums: array<vec4<f32>, 256>;
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
    let has_first = quad < op.outputs;
    let has_second = second < op.width;
    var first_sum = vec4<f32>(0.0);
    var second_sum = vec4<f32>(0.0);
    var square = 0.0;
    for (var k = lane; k < op.inputs; k += 32u) {
        let value = x[x_start + k];
        square += dot(value, value);
        let scaled = normed(value, k);
        let place = k * 4u * op.width;
        if has_first {
            let at = place + quad;
            first_sum += mat4x4<f32>(weight(at), weight(at + op.width), weight(at + 2u * op.width), weight(at + 3u * op.width)) * scaled;
        }
        if has_second {
            let at = place + second;
            second_sum += mat4x4<f32>(weight(at), weight(at + op.width), weight(at + 2u * op.width), weight(at + 3u * op.width)) * scaled;
        }
    }
    first_sums[index] = first_sum;
    second_sums[index] = second_sum;
    squares[index] = square;
    workgroupBarrier();
    for (var half = 128u; half >= 8u; half /= 2u) {
        if index < half {
            first_sums[index] += first_sums[index + half];
            second_sums[index] += second_sums[index + half];
            squares[index] += squares[index + half];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        var inverse_rms = 1.0;
//# if NORM
        inverse_rms = inverseSqrt(squares[index] / op.mean_over + op.epsilon);
//# end
        store(group.y, quad, first_sums[index], second_sums[index], inverse_rms);
    }
}
