// Unsigned 64-bit integers as (low, high) words: WGSL has none of its own.
fn wide_add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

// The whole product of two words, by their 16-bit halves.
fn wide_mul(a: u32, b: u32) -> vec2<u32> {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let first = a_low * b_high + ((a_low * b_low) >> 16u);
    let second = a_high * b_low + (first & 0xffffu);
    return vec2<u32>(a * b, a_high * b_high + (first >> 16u) + (second >> 16u));
}

// a << shift, shift < 64.
fn wide_shift_left(a: vec2<u32>, shift: u32) -> vec2<u32> {
    if (shift == 0u) {
        return a;
    }
    if (shift >= 32u) {
        return vec2<u32>(0u, a.x << (shift - 32u));
    }
    return vec2<u32>(a.x << shift, (a.y << shift) | (a.x >> (32u - shift)));
}

fn wide_at_most(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x <= b.x);
}

// Zero bits before the first one; 64 for zero.
fn wide_leading_zeros(a: vec2<u32>) -> u32 {
    if (a.y != 0u) {
        return countLeadingZeros(a.y);
    }
    return 32u + countLeadingZeros(a.x);
}

// The largest root with root * root <= square.
fn wide_square_root(square: vec2<u32>) -> u32 {
    var root = 0u;
    for (var bit = 0x80000000u; bit != 0u; bit >>= 1u) {
        let more = root | bit;
        if (wide_at_most(wide_mul(more, more), square)) {
            root = more;
        }
    }
    return root;
}

// floor((2^63 - 1) / root), which fits a word for root >= 2^31.
fn wide_inverse(root: u32) -> u32 {
    let most = vec2<u32>(0xffffffffu, 0x7fffffffu);
    var inverse = 0u;
    for (var bit = 0x80000000u; bit != 0u; bit >>= 1u) {
        let more = inverse | bit;
        if (wide_at_most(wide_mul(more, root), most)) {
            inverse = more;
        }
    }
    return inverse;
}
