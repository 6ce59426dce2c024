//! One function, compiled for several instruction sets and chosen at run time.

/// An instruction set of the machine. The number of lanes never shows in results: sums have their order from the code.
/// Whether products are fused into sums does; that is a property of the device.
pub trait Isa: Copy + 'static {
    /// Products are fused into sums.
    const FUSED: bool;
    /// Registers of 64 bytes, 32 of them.
    const WIDE: bool;
}

/// What every machine of the target has.
#[derive(Clone, Copy)]
pub struct Baseline;
/// x86-64 with AVX2 and FMA.
#[derive(Clone, Copy)]
pub struct Avx2;
/// x86-64 with AVX-512.
#[derive(Clone, Copy)]
pub struct Avx512;

impl Isa for Baseline {
    const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
    const WIDE: bool = false;
}
impl Isa for Avx2 {
    const FUSED: bool = true;
    const WIDE: bool = false;
}
impl Isa for Avx512 {
    const FUSED: bool = true;
    const WIDE: bool = true;
}

/// Compiles the body of a function, generic over the number type and the instruction set, for AVX-512, for AVX2 with
/// FMA, and for the baseline; calls the one that the machine can run.
macro_rules! vectorized {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident<$real:ident, $isa:ident>(
        $($argument:ident: $kind:ty),* $(,)?
    ) $body:block) => {
        $(#[$doc])*
        $visibility fn $name<$real: $crate::ops::real::Real>($($argument: $kind),*) {
            #[inline(always)]
            fn body<$real: $crate::ops::real::Real, $isa: $crate::ops::vectorized::Isa>($($argument: $kind),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512<$real: $crate::ops::real::Real>($($argument: $kind),*) {
                    body::<$real, $crate::ops::vectorized::Avx512>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$real: $crate::ops::real::Real>($($argument: $kind),*) {
                    body::<$real, $crate::ops::vectorized::Avx2>($($argument),*)
                }
                let fused = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
                let wide = std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512bw");
                if fused && wide {
                    #[expect(unsafe_code, reason = "the features were just detected")]
                    return unsafe { avx512::<$real>($($argument),*) };
                }
                if fused {
                    #[expect(unsafe_code, reason = "the features were just detected")]
                    return unsafe { avx2::<$real>($($argument),*) };
                }
            }
            #[allow(unreachable_code)]
            body::<$real, $crate::ops::vectorized::Baseline>($($argument),*)
        }
    };
}
pub(crate) use vectorized;
