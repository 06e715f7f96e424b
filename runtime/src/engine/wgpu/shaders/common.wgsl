// What every shader begins with. Seven bindings, the same for all: two uniforms, four inputs, one
// output. A quad is four neighbouring values: widths, strides and offsets are counted in quads.

struct Shape {
    // Sequences, and tokens in each.
    rows: u32,
    tokens: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
