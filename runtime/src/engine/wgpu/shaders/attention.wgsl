// Grouped-query attention with an online softmax: no matrix of scores is ever written. In decoders
// it is causal and has rotary embedding; in encoders every token sees all.
//
// A workgroup serves one key/value head. Its items are pairs of a query and a head of that group;
// SPLIT invocations share an item, each taking every SPLIT-th key with a softmax of its own, and
// merge at the end.

struct Attention {
    // Quads from a row to the next, and where in a row the keys and the values begin.
    q_stride: u32,
    kv_stride: u32,
    k_offset: u32,
    v_offset: u32,
    y_stride: u32,
    // Query heads for a key/value head.
    group: u32,
    // One over the root of the head size.
    scale: f32,
    // SPLIT, but not known to compilers: they would unroll the merge of every pair of quads, and
    // take seconds for it.
    split: u32,
}

@group(0) @binding(1) var<uniform> op: Attention;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> kv: array<vec4<f32>>;
//# if BACK
@group(0) @binding(4) var<storage, read> cosines: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> sines: array<vec4<f32>>;
//# end
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

const WIDTH: u32 = $WIDTHu;
const HALF: u32 = $HALFu;
const KEYS: u32 = $KEYSu;
const SPLIT: u32 = $SPLITu;
const THREADS: u32 = 128u;
const ITEMS: u32 = THREADS / SPLIT;
// Below every score, and yet finite: its difference to itself is 0.
const LOWEST: f32 = -1.0e30;

// Keys, then values; in the end what is merged, two pairs of quads from every invocation. A key has
// one quad more than it needs, so that neighbours do not lie in the same bank.
var<workgroup> room: array<vec4<f32>, $ROOM>;
const VALUES: u32 = KEYS * (WIDTH + 1u);
var<workgroup> maxima: array<f32, THREADS>;
var<workgroup> totals: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let tokens = shape.tokens;
    let kv_head = group.y;
    let first_token = group.z * tokens;
    let item = group.x * ITEMS + index / SPLIT;
    let part = index % SPLIT;
//# if LAST
    let is_item = item < op.group;
    let query = tokens - 1u;
    let last_key = tokens - 1u;
    let row = group.z;
//# else
    let is_item = item < op.group * tokens;
    let query = min(item / op.group, tokens - 1u);
//# if BACK
    let last_key = min((group.x * ITEMS + ITEMS - 1u) / op.group, tokens - 1u);
//# else
    let last_key = tokens - 1u;
//# end
    let row = first_token + query;
//# end
//# if BACK
    let last_seen = query;
//# else
    let last_seen = tokens - 1u;
//# end
    let head = kv_head * op.group + item % op.group;

    let q_start = row * op.q_stride + head * WIDTH;
//# if BACK
    let q_angle = query * HALF;
//# end
//# repeat i HALF
    let qa$i = q[q_start + $iu];
    let qb$i = q[q_start + HALF + $iu];
//# if BACK
    let qc$i = cosines[q_angle + $iu] * op.scale;
    let qs$i = sines[q_angle + $iu] * op.scale;
    let qx$i = qa$i * qc$i - qb$i * qs$i;
    let qy$i = qb$i * qc$i + qa$i * qs$i;
//# else
    let qx$i = qa$i * op.scale;
    let qy$i = qb$i * op.scale;
//# end
    var sx$i = vec4<f32>(0.0);
    var sy$i = vec4<f32>(0.0);
//# end
    var maximum = LOWEST;
    var total = 0.0;
    for (var base = 0u; base <= last_key; base += KEYS) {
        for (var place = index; place < KEYS * HALF; place += THREADS) {
            let key = base + place / HALF;
            let i = place % HALF;
            if key <= last_key {
                let start = (first_token + key) * op.kv_stride + kv_head * WIDTH + i;
                let a = kv[start + op.k_offset];
                let b = kv[start + op.k_offset + HALF];
                let local = place / HALF;
//# if BACK
                let c = cosines[key * HALF + i];
                let s = sines[key * HALF + i];
                room[local * (WIDTH + 1u) + i] = a * c - b * s;
                room[local * (WIDTH + 1u) + HALF + i] = b * c + a * s;
//# else
                room[local * (WIDTH + 1u) + i] = a;
                room[local * (WIDTH + 1u) + HALF + i] = b;
//# end
                room[VALUES + local * WIDTH + i] = kv[start + op.v_offset];
                room[VALUES + local * WIDTH + HALF + i] = kv[start + op.v_offset + HALF];
            }
        }
        workgroupBarrier();
        for (var j = part; j < KEYS; j += SPLIT) {
            if is_item && base + j <= last_seen {
                let k = j * (WIDTH + 1u);
                let v = VALUES + j * WIDTH;
                var score = 0.0;
//# repeat i HALF
                score += dot(qx$i, room[k + $iu]) + dot(qy$i, room[k + HALF + $iu]);
//# end
                let larger = max(maximum, score);
                let kept = exp(maximum - larger);
                let share = exp(score - larger);
                maximum = larger;
                total = total * kept + share;
//# repeat i HALF
                sx$i = sx$i * kept + share * room[v + $iu];
                sy$i = sy$i * kept + share * room[v + HALF + $iu];
//# end
            }
        }
        workgroupBarrier();
    }

    maxima[index] = maximum;
    totals[index] = total;
    workgroupBarrier();
    let first = index - part;
    var largest = LOWEST;
    for (var j = 0u; j < SPLIT; j++) {
        largest = max(largest, maxima[first + j]);
    }
    var sum = 0.0;
    for (var j = 0u; j < SPLIT; j++) {
        sum += totals[first + j] * exp(maxima[first + j] - largest);
    }
    let share = exp(maximum - largest) / sum;
    let y_start = row * op.y_stride + head * WIDTH;
// Two halves of the room take turns, so that one barrier is enough: who writes to a half again
// knows that all have passed the barrier of the other, and have read this one before that.
//# repeat i HALF
    {
        let half = $iu % 2u * 2u * THREADS;
        room[half + index] = sx$i * share;
        room[half + THREADS + index] = sy$i * share;
        workgroupBarrier();
        if is_item && part == $iu % SPLIT {
            y[y_start + $iu] = merged(half + first);
            y[y_start + HALF + $iu] = merged(half + THREADS + first);
        }
    }
//# end
}

fn merged(first: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var j = 0u; j < op.split; j++) {
        sum += room[first + j];
    }
    return sum;
}
