// A dispatch of more workgroups than one dimension takes (65,535) is folded into rows of that many.
const GRID_ROW: u32 = 65535u;

fn grid_index(workgroup: vec3<u32>) -> u32 {
    return workgroup.y * GRID_ROW + workgroup.x;
}
