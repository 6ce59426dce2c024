//! The number type of the CPU backend: f32 in the product, f64 where a test wants to know a gradient to ten digits.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::vectorized::Isa;

/// f32 or f64. The functions of `f32` are polynomials that the compiler vectorizes, with relative errors below 3e-7
/// (see the tests); those of `f64` are the standard library's. None of them hides a NaN.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Sum
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The nearest number to `x`.
    fn of(x: f64) -> Self;
    /// Exact.
    fn f64(self) -> f64;
    /// a b + c with one rounding.
    fn fused(a: Self, b: Self, c: Self) -> Self;
    /// e^x; 0 far below and finite far above the range.
    fn fast_exp<I: Isa>(self) -> Self;
    /// ln x for finite x > 0, else NaN.
    fn fast_ln<I: Isa>(self) -> Self;
    /// The hyperbolic tangent.
    fn fast_tanh<I: Isa>(self) -> Self;
    /// (sin x, cos x), |x| < 10^9.
    fn sin_cos<I: Isa>(x: f64) -> (Self, Self);
    /// The square root.
    fn sqrt(self) -> Self;
    /// The absolute value.
    fn abs(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

/// a b + c, fused where the machine can.
#[inline(always)]
pub(crate) fn madd<T: Real, I: Isa>(a: T, b: T, c: T) -> T {
    if I::FUSED { T::fused(a, b, c) } else { a * b + c }
}

/// The larger one; `b` where `a` is NaN, `b` where `b` is.
#[inline(always)]
pub(crate) fn larger<T: Real>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<T: Real, I: Isa>(x: T) -> T {
    T::ONE / (T::ONE + (-x).fast_exp::<I>())
}

/// ln(1 + e^x).
#[inline(always)]
pub(crate) fn softplus<T: Real, I: Isa>(x: T) -> T {
    // ln(1 + y) = 2 artanh(y / (2 + y)) keeps small y.
    let y = (-x.abs()).fast_exp::<I>();
    let s = y / (T::of(2.0) + y);
    let square = s * s;
    let mut series = T::of(1.0 / 33.0);
    for n in (0..16).rev() {
        series = madd::<T, I>(series, square, T::of(1.0 / (2 * n + 1) as f64));
    }
    larger(x, T::ZERO) + T::of(2.0) * s * series
}

/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// (2^n, e^r - 1) with x = n ln 2 + r, |r| <= ln 2 / 2, for -87 <= x <= 88.
#[inline(always)]
fn exp_parts<I: Isa>(x: f32) -> (f32, f32) {
    let shifted = madd::<f32, I>(x, std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    // ln 2 in two parts, the first of so few bits that n times it is exact.
    let r = madd::<f32, I>(n, -0.693_359_4, x);
    let r = madd::<f32, I>(n, 2.121_944_4e-4, r);
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        series = madd::<f32, I>(series, r, coefficient);
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127);
    (f32::from_bits(exponent.wrapping_shl(23)), series * r)
}

#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// sin x for |x| <= pi / 2 + 10^-6.
#[inline(always)]
fn sine<I: Isa>(x: f32) -> f32 {
    let square = x * x;
    let mut series = -1.0 / 39_916_800.0;
    for coefficient in [1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0] {
        series = madd::<f32, I>(series, square, coefficient);
    }
    madd::<f32, I>(series * square, x, x)
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;

    #[inline(always)]
    fn of(x: f64) -> f32 {
        x as f32
    }

    #[inline(always)]
    fn f64(self) -> f64 {
        self.into()
    }

    #[inline(always)]
    fn fused(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn fast_exp<I: Isa>(self) -> f32 {
        let (power, rest) = exp_parts::<I>(clamp(self, -87.0, 88.0));
        if self < -87.0 { 0.0 } else { madd::<f32, I>(power, rest, power) }
    }

    #[inline(always)]
    fn fast_ln<I: Isa>(self) -> f32 {
        // self = 2^n m, m in [2/3, 4/3); ln m = 2 artanh((m - 1) / (m + 1)).
        let bits = self.to_bits();
        let n = (bits.wrapping_sub(0x3f2a_aaab) as i32) >> 23;
        let m = f32::from_bits(bits.wrapping_sub((n as u32) << 23));
        let s = (m - 1.0) / (m + 1.0);
        let square = s * s;
        let mut series = 1.0 / 11.0;
        for coefficient in [1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0] {
            series = madd::<f32, I>(series, square, coefficient);
        }
        let small = madd::<f32, I>(series * square, 2.0 * s, 2.0 * s);
        let ln = madd::<f32, I>(n as f32, std::f32::consts::LN_2, small);
        if self > 0.0 && self < f32::INFINITY { ln } else { f32::NAN }
    }

    #[inline(always)]
    fn fast_tanh<I: Isa>(self) -> f32 {
        // (e^2x - 1) / (e^2x + 1); it is 1 in f32 from 9.02 on.
        let (power, rest) = exp_parts::<I>(2.0 * clamp(self.abs(), 0.0, 9.1));
        let minus_one = madd::<f32, I>(power, rest, power - 1.0);
        (minus_one / (minus_one + 2.0)).copysign(self)
    }

    #[inline(always)]
    fn sin_cos<I: Isa>(x: f64) -> (f32, f32) {
        use std::f64::consts::{PI, TAU};
        // 1.5 * 2^52: as ROUNDER.
        let turns = (x * (1.0 / TAU) + 6_755_399_441_055_744.0) - 6_755_399_441_055_744.0;
        let r = (x - turns * TAU) as f32;
        let pi = PI as f32;
        let folded = if r > 0.5 * pi {
            pi - r
        } else if r < -0.5 * pi {
            -pi - r
        } else {
            r
        };
        (sine::<I>(folded), sine::<I>(0.5 * pi - r.abs()))
    }

    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }

    #[inline(always)]
    fn abs(self) -> f32 {
        f32::abs(self)
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;

    fn of(x: f64) -> f64 {
        x
    }

    fn f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn fused(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }

    fn fast_exp<I: Isa>(self) -> f64 {
        f64::exp(self)
    }

    fn fast_ln<I: Isa>(self) -> f64 {
        f64::ln(self)
    }

    fn fast_tanh<I: Isa>(self) -> f64 {
        f64::tanh(self)
    }

    fn sin_cos<I: Isa>(x: f64) -> (f64, f64) {
        x.sin_cos()
    }

    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }

    fn abs(self) -> f64 {
        f64::abs(self)
    }

    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::vectorized::{Avx2, Baseline};

    fn relative_error(found: f32, expected: f64) -> f64 {
        (f64::from(found) - expected).abs() / expected.abs().max(f64::from(f32::MIN_POSITIVE))
    }

    fn check<I: Isa>() {
        for step in -200_000..200_000 {
            let x = step as f32 * 4.3e-4;
            assert!(relative_error(x.fast_exp::<I>(), f64::from(x).exp()) < 3e-7, "exp {x}");
            let small = x * 0.05 * x.abs();
            assert!(relative_error(small.fast_tanh::<I>(), f64::from(small).tanh()) < 3e-7, "tanh {small}");
            let exact = f64::from(x).exp().ln_1p();
            assert!(relative_error(softplus::<f32, I>(x), exact) < 4e-7, "softplus {x}");
            let angle = f64::from(step) * 0.377;
            let (sin, cos) = <f32 as Real>::sin_cos::<I>(angle);
            assert!((f64::from(sin) - angle.sin()).abs() < 4e-7, "sin {angle}");
            assert!((f64::from(cos) - angle.cos()).abs() < 4e-7, "cos {angle}");
            let y = x.fast_exp::<I>();
            let error = (f64::from(y.fast_ln::<I>()) - f64::from(y).ln()).abs();
            assert!(error < 2e-7 * f64::from(x.abs()).max(0.7), "ln {y}");
        }
        for x in [f32::NAN, -f32::NAN] {
            assert!(x.fast_exp::<I>().is_nan() && x.fast_tanh::<I>().is_nan() && x.fast_ln::<I>().is_nan());
            assert!(softplus::<f32, I>(x).is_nan() && sigmoid::<f32, I>(x).is_nan());
        }
        assert_eq!((f32::NEG_INFINITY.fast_exp::<I>(), (-1e30f32).fast_exp::<I>()), (0.0, 0.0));
        assert_eq!((40f32.fast_tanh::<I>(), (-40f32).fast_tanh::<I>(), 0f32.fast_tanh::<I>()), (1.0, -1.0, 0.0));
        assert!(!0f32.fast_ln::<I>().is_finite() && !(-1f32).fast_ln::<I>().is_finite());
    }

    #[test]
    fn functions_of_f32_are_right_to_three_parts_in_ten_million_and_hide_no_nan() {
        check::<Baseline>();
        check::<Avx2>();
    }
}
