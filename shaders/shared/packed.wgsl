// Two i16 in a u32, little-endian.
fn low_i16(word: u32) -> i32 {
    return bitcast<i32>(word << 16u) >> 16u;
}

fn high_i16(word: u32) -> i32 {
    return bitcast<i32>(word) >> 16u;
}
