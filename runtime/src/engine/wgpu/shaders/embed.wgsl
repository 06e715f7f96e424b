// residual[row] = weights[ids[row]] * scale[ids[row]] + positions[token], for the rows of the table
// that this binding holds; positions where the network has them. In blocks, a byte holds a value of
// a row's first half in its low bits, and the one as far into the second half in its high ones; 8
// is zero, and 32 values share a scale.

struct Embed {
    // Quads of a row.
    width: u32,
    // The part of the table that is bound.
    first: u32,
    count: u32,
}

@group(0) @binding(1) var<uniform> op: Embed;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<$WORD>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
//# if PLACED
@group(0) @binding(5) var<storage, read> positions: array<vec4<f32>>;
//# end
@group(0) @binding(6) var<storage, read_write> residual: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) place: vec3<u32>) {
    let row = place.y;
    let id = ids[row];
    // An id below `first` wraps around, and is beyond the part as well.
    let local = id - op.first;
    if place.x >= op.width || local >= op.count {
        return;
    }
//# if BLOCKS
    let half = op.width / 2;
    let is_second = u32(place.x >= half);
    let word = weights[local * half + place.x - is_second * half] >> (4u * is_second);
    let levels = vec4<f32>(unpack4xU8(word & 0x0f0f0f0fu)) - 8.0;
    var value = levels * scale[id * (op.width / 8) + place.x / 8];
//# else
    var value = weight(local * op.width + place.x) * scale[id];
//# end
//# if PLACED
    value += positions[row % shape.tokens * op.width + place.x];
//# end
    residual[row * op.width + place.x] = value;
}
