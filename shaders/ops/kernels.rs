//! The list of this room's kernels.

use crate::kernel::{Kernel, Source, params};
use crate::{Error, Gpu};

/// Declares kernels: name of file and entry point, the members of `Params`, the shared snippets in front.
macro_rules! kernels {
    ($($name:ident $params:ident { $($member:ident),* } [$($shared:literal),*];)*) => {
        $(params! {
            /// Of the kernel of that name.
            $params { $($member),* }
        })*

        /// This room's kernels.
        #[cfg(test)]
        pub(crate) const SOURCES: &[Source] = &[$(source::$name()),*];

        mod source {
            use super::*;

            $(pub const fn $name() -> Source {
                Source {
                    name: stringify!($name),
                    wgsl: concat!(
                        $(include_str!(concat!("../shared/", $shared, ".wgsl")),)*
                        include_str!(concat!(stringify!($name), ".wgsl"))
                    ),
                    members: $params::MEMBERS,
                    size: size_of::<$params>(),
                }
            })*
        }

        /// All of them, compiled.
        #[derive(Debug)]
        pub(crate) struct Kernels {
            $(pub $name: Kernel),*
        }

        impl Kernels {
            /// Compiles all.
            pub fn new(gpu: &Gpu) -> Result<Kernels, Error> {
                Ok(Kernels { $($name: Kernel::new(gpu, &source::$name(), &[])?),* })
            }
        }
    };
}

kernels! {
    add AddParams { len } ["grid", "lane"];
    affine_mixture AffineMixtureParams { len, components } ["grid", "lane"];
    affine_mixture_gradient AffineMixtureGradientParams { rows, components, of_x } ["grid", "lane"];
    attention AttentionParams { queries, d, one_plus, has_own } ["grid"];
    attention_key_gradient AttentionKeyGradientParams { keys, d } ["grid"];
    attention_query_gradient AttentionQueryGradientParams { queries, d, has_own } ["grid"];
    bumps BumpsParams { rows } ["grid", "lane"];
    concat ConcatParams { len, columns, all, start } ["grid", "lane"];
    concat_gradient ConcatGradientParams { len, columns, all, start } ["grid", "lane"];
    cosine CosineParams { queries, keys, columns } ["grid", "lane"];
    cosine_gradient CosineGradientParams { queries, keys, columns, of_keys } ["grid", "lane"];
    cross_entropy CrossEntropyParams { rows, columns } ["grid", "lane"];
    cross_entropy_gradient CrossEntropyGradientParams { len, columns } ["grid", "lane"];
    expand ExpandParams { len, columns, group } ["grid", "lane"];
    gather GatherParams { len, width } ["grid", "lane"];
    gather_gradient GatherGradientParams { ids, width, len, chunk, chunks } ["grid", "lane"];
    intensity IntensityParams { len, columns } ["grid", "lane", "functions"];
    intensity_gradient IntensityGradientParams { len, columns, of_x } ["grid", "lane", "functions"];
    intensity_term IntensityTermParams { rows, columns } ["grid", "lane"];
    intensity_term_gradient IntensityTermGradientParams { len, columns } ["grid", "lane"];
    key_distance KeyDistanceParams { rows, columns, n } ["grid", "lane"];
    key_distance_gradient KeyDistanceGradientParams { rows, columns, n } ["grid", "lane"];
    linear LinearParams { rows, inputs, outputs, weight, has_bias, has_addend } ["grid", "lane"];
    linear_input_gradient LinearInputGradientParams { rows, inputs, outputs, weight } ["grid", "lane"];
    linear_weight_gradient LinearWeightGradientParams { rows, inputs, outputs, chunk, chunks } ["grid", "lane"];
    loss LossParams { rows, slot } [];
    mixture MixtureParams { rows, components, floor, gradient } ["grid", "lane", "survival"];
    mixture_nodes MixtureNodesParams { rows, components, floor } ["grid", "lane"];
    multiply MultiplyParams { len, columns, target_stride, a_stride, b_stride, b_step, accumulate } ["grid", "lane"];
    norm NormParams { rows, columns, has_bias } ["grid", "lane"];
    norm_gradient NormGradientParams { rows, columns, centered, of_x } ["grid", "lane"];
    rotate RotateParams { len, columns, width } ["grid", "lane"];
    rotate_gradient RotateGradientParams { len, columns, width } ["grid", "lane"];
    segment SegmentParams { rows, columns, group, has_counts, mean, accumulate } ["grid", "lane"];
    segment_gradient SegmentGradientParams { len, columns, mean } ["grid", "lane"];
    similarity SimilarityParams { rows, columns, a_stride, b_stride, scale } ["grid", "lane"];
    similarity_gradient SimilarityGradientParams { rows, columns, a_stride, b_stride, scale, of_a, of_b } ["grid", "lane"];
    softmax SoftmaxParams { rows, columns } ["grid", "lane"];
    softmax_gradient SoftmaxGradientParams { rows, columns } ["grid", "lane"];
    sum_partials SumPartialsParams { len, chunks, stride, first, target_offset } ["grid", "lane"];
    target_attention TargetAttentionParams { queries, d, value, has_links, coefficients, scale, floor } ["grid", "pair"];
    target_attention_query_gradient TargetAttentionQueryGradientParams {
        queries, d, value, has_links, coefficients, scale, floor
    } ["grid", "pair"];
    target_attention_row_gradient TargetAttentionRowGradientParams {
        rows, d, value, has_links, coefficients, scale, floor
    } ["grid", "pair"];
    top TopParams { rows, columns, n, has_penalty } ["grid", "lane"];
    unary UnaryParams { len, kind, has_addend } ["grid", "lane", "functions"];
    unary_gradient UnaryGradientParams { len } ["grid", "lane"];
    unit UnitParams { rows, columns } ["grid", "lane"];
    unit_gradient UnitGradientParams { rows, columns } ["grid", "lane"];
    weighted_sum WeightedSumParams { rows, columns, group } ["grid", "lane"];
    weighted_sum_gradient WeightedSumGradientParams { rows, columns, group, of_x, of_weights } ["grid", "lane"];
}
