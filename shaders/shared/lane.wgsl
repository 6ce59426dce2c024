// The place of a lane among all lanes of a dispatch of 64-lane workgroups. Needs grid.wgsl.
fn lane_index(workgroup: vec3<u32>, lane: u32) -> u32 {
    return grid_index(workgroup) * 64u + lane;
}
