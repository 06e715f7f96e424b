// A matrix of weights, [inputs, outputs], four outputs to an element: bytes of an int8 matrix, or
// floats.

fn weight(index: u32) -> vec4<f32> {
//# if INT8
    return vec4<f32>(unpack4xI8(weights[index]));
//# else
    return weights[index];
//# end
}
