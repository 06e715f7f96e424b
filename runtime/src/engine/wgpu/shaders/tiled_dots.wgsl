// Many rows, rounded to int8: 16 x 16 invocations make ROWS = 16 * TM rows of 32 quads, going along
// the inputs 64 at a time.

const PAIR: u32 = 16u;
const ROWS: u32 = $TMu * 16u;
// Invocations that read a row of x together.
const LANES: u32 = 16u / $TMu;

// [row][quad of inputs], a quad in a word
var<workgroup> x_tile: array<u32, ROWS * 16u>;
// [quad of inputs][quad of outputs]
var<workgroup> w_tile: array<vec4<u32>, 512>;
var<workgroup> maxima: array<f32, 256>;
var<workgroup> squares: array<f32, 256>;
var<workgroup> scales: array<f32, ROWS>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let tx = index % 16u;
    let ty = index / 16u;
//# if SWIGLU
    let quad = group.x * 16u + tx;
//# else
    let quad = group.x * 32u + tx;
//# end
    let second = second_quad(quad);
    let first_row = group.y * ROWS;
    let rows = row_count();

    // The row of x that this invocation reads every LANES-th quad of. It is read twice: it cannot
    // be rounded before its largest value is known.
    let read_row = index / LANES;
    let lane = index % LANES;
    let reads = first_row + read_row < rows;
    let x_start = place_of(first_row + read_row, op.x_tokens) * op.x_stride;
    var largest = 0.0;
    var square = 0.0;
    if reads {
        for (var k = lane; k < op.inputs; k += LANES) {
            let value = x[x_start + k];
            square += dot(value, value);
            largest = max(largest, largest_of(normed(value, k)));
        }
    }
    maxima[index] = largest;
    squares[index] = square;
    workgroupBarrier();
    largest = 0.0;
    square = 0.0;
    for (var i = index - lane; i < index - lane + LANES; i++) {
        largest = max(largest, maxima[i]);
        square += squares[i];
    }
    let inverse = inverse_scale(largest);
    if lane == 0u {
        scales[read_row] = scale_of_row(largest, square);
    }

//# repeat r TM
    var first$r = vec4<i32>(0);
    var second$r = vec4<i32>(0);
//# end
    for (var k = 0u; k < op.inputs; k += 16u) {
        for (var i = lane; i < 16u; i += LANES) {
            var word = 0u;
            if reads && k + i < op.inputs {
                word = rounded(normed(x[x_start + k + i], k + i), inverse);
            }
            x_tile[read_row * 16u + i] = word;
        }
        var a = vec4<u32>(0u);
        var b = vec4<u32>(0u);
        if k + ty < op.inputs {
            let start = (k + ty) * 4u * op.width;
            if quad < op.outputs {
                a = weight_block(start + quad);
            }
            if second < op.width {
                b = weight_block(start + second);
            }
        }
        w_tile[ty * 32u + tx] = a;
        w_tile[ty * 32u + tx + 16u] = b;
        workgroupBarrier();
        for (var inner = 0u; inner < 16u; inner++) {
            let first_weights = w_tile[inner * 32u + tx];
            let second_weights = w_tile[inner * 32u + tx + 16u];
//# repeat r TM
            let x$r = x_tile[(ty + $ru * 16u) * 16u + inner];
            first$r += dots(first_weights, x$r);
            second$r += dots(second_weights, x$r);
//# end
        }
        workgroupBarrier();
    }
//# repeat r TM
    if first_row + ty + $ru * 16u < rows {
        let local = ty + $ru * 16u;
        store(first_row + local, quad, vec4<f32>(first$r), vec4<f32>(second$r), scales[local]);
    }
//# end
}
