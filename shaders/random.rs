//! Streams of random numbers: all that is random in a model comes of one seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of random numbers; `stream` tells the purposes apart.
pub(crate) fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    generator
}

/// Uniform in [0, 1).
pub(crate) fn uniform(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// 32-bit words of the generator that a [`gaussian`] takes.
pub(crate) const GAUSSIAN_WORDS: u128 = 4;

/// Standard normal, by Box and Muller.
pub(crate) fn gaussian(generator: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(generator)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(generator)).cos()
}
