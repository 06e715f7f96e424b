// y[sequence] = the mean of its tokens' rows of x, added in their order.

struct Pool {
    // Quads of a row.
    width: u32,
}

@group(0) @binding(1) var<uniform> op: Pool;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) place: vec3<u32>) {
    if place.x >= op.width {
        return;
    }
    let start = place.y * shape.tokens * op.width + place.x;
    var sum = vec4<f32>(0.0);
    for (var token = 0u; token < shape.tokens; token++) {
        sum += x[start + token * op.width];
    }
    y[place.y * op.width + place.x] = sum / f32(shape.tokens);
}
