// Many rows: 16 x 16 invocations make ROWS = 16 * TM rows of 32 quads, going along the inputs 16 at
// a time.

const PAIR: u32 = 16u;
const ROWS: u32 = $TMu * 16u;

// [row][quad of inputs]
var<workgroup> x_tile: array<vec4<f32>, ROWS * 4u>;
// [input][quad of outputs]
var<workgroup> w_tile: array<vec4<f32>, 512>;
var<workgroup> squares: array<f32, ROWS * 4u>;

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

    // The element of the tile of x that this invocation loads.
    let load_row = first_row + index / 4u;
    let load_quad = index % 4u;
    let loads = index < ROWS * 4u && load_row < rows;
    let x_start = place_of(load_row, op.x_tokens) * op.x_stride;
    var square = 0.0;

//# repeat r TM
    var first$r = vec4<f32>(0.0);
    var second$r = vec4<f32>(0.0);
//# end
    for (var k = 0u; k < op.inputs; k += 4u) {
        if index < ROWS * 4u {
            var value = vec4<f32>(0.0);
            if loads && k + load_quad < op.inputs {
                value = x[x_start + k + load_quad];
                square += dot(value, value);
                value = normed(value, k + load_quad);
            }
            x_tile[index] = value;
        }
        var a = vec4<f32>(0.0);
        var b = vec4<f32>(0.0);
        if k + ty / 4u < op.inputs {
            let start = (k * 4u + ty) * op.width;
            if quad < op.outputs {
                a = weight(start + quad);
            }
            if second < op.width {
                b = weight(start + second);
            }
        }
        w_tile[ty * 32u + tx] = a;
        w_tile[ty * 32u + tx + 16u] = b;
        workgroupBarrier();
        for (var inner = 0u; inner < 4u; inner++) {
            let place = inner * 128u + tx;
            let first_weights = mat4x4<f32>(w_tile[place], w_tile[place + 32u], w_tile[place + 64u], w_tile[place + 96u]);
            let second_weights = mat4x4<f32>(w_tile[place + 16u], w_tile[place + 48u], w_tile[place + 80u], w_tile[place + 112u]);
//# repeat r TM
            let x$r = x_tile[(ty + $ru * 16u) * 4u + inner];
            first$r += first_weights * x$r;
            second$r += second_weights * x$r;
//# end
        }
        workgroupBarrier();
    }
//# if NORM
    if index < ROWS * 4u {
        squares[index] = square;
    }
    workgroupBarrier();
//# end
//# repeat r TM
    {
        let local = ty + $ru * 16u;
        var inverse_rms = 1.0;
//# if NORM
        let sum = squares[local * 4u] + squares[local * 4u + 1u] + squares[local * 4u + 2u] + squares[local * 4u + 3u];
        inverse_rms = inverseSqrt(sum / op.mean_over + op.epsilon);
//# end
        if first_row + local < rows {
            store(first_row + local, quad, first$r, second$r, inverse_rms);
        }
    }
//# end
}
