// Activations rounded to int8 with a scale for every row, and products of four of them at once.

// What a value is multiplied by before it is rounded. A row of zeros stays one, and numbers so
// small that their inverse is infinite become zeros.
fn inverse_scale(largest: f32) -> f32 {
    return select(0.0, 127.0 / largest, largest > 1.0e-30);
}

// What a row's products are multiplied by, besides the scales of the columns.
fn scale_of_row(largest: f32, square: f32) -> f32 {
    let scale = largest / 127.0;
//# if NORM
    return scale * inverseSqrt(square / op.mean_over + op.epsilon);
//# else
    return scale;
//# end
}

fn largest_of(value: vec4<f32>) -> f32 {
    let size = abs(value);
    return max(max(size.x, size.y), max(size.z, size.w));
}

fn rounded(value: vec4<f32>, inverse_scale: f32) -> u32 {
    return pack4xI8(vec4<i32>(round(value * inverse_scale)));
}

// The weights of a quad of inputs for a quad of outputs. They are stored input by input, and come
// output by output: the bytes of four words, transposed.
fn weight_block(start: u32) -> vec4<u32> {
    let a = weights[start];
    let b = weights[start + op.width];
    let c = weights[start + 2u * op.width];
    let d = weights[start + 3u * op.width];
    let even_ab = (a & 0x00ff00ffu) | ((b & 0x00ff00ffu) << 8u);
    let odd_ab = ((a >> 8u) & 0x00ff00ffu) | (b & 0xff00ff00u);
    let even_cd = (c & 0x00ff00ffu) | ((d & 0x00ff00ffu) << 8u);
    let odd_cd = ((c >> 8u) & 0x00ff00ffu) | (d & 0xff00ff00u);
    return vec4<u32>(
        (even_ab & 0xffffu) | (even_cd << 16u),
        (odd_ab & 0xffffu) | (odd_cd << 16u),
        (even_ab >> 16u) | (even_cd & 0xffff0000u),
        (odd_ab >> 16u) | (odd_cd & 0xffff0000u),
    );
}

fn dots(block: vec4<u32>, x: u32) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(block.x, x), dot4I8Packed(block.y, x), dot4I8Packed(block.z, x), dot4I8Packed(block.w, x));
}
