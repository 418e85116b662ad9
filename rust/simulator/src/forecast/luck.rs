//! Draws, and the shapes they are drawn from.

use std::f64::consts::TAU;
use std::sync::Arc;

use penstock_engine::{draw, mix};

/// Draws in a row that depend on the seed and on what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Luck(u64);

impl Luck {
    /// Those for something.
    pub fn of(seed: u64, what: [u64; 4]) -> Self {
        Self(draw(seed, what))
    }

    /// Uniform in (0, 1).
    #[inline]
    pub fn share(&mut self) -> f64 {
        self.0 = mix(self.0);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Exponential with mean 1.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        -self.share().ln()
    }

    /// Normal with mean 0 and variance 1 (Box and Muller, 1958).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (TAU * self.share()).cos()
    }
}

/// What a quantity is distributed as; nothing of it is below 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Always this.
    Constant(f64),
    /// Between the two.
    Uniform(f64, f64),
    /// By its mean.
    Exponential(f64),
    /// By its median and the standard deviation of its logarithm.
    Lognormal(f64, f64),
    /// By its shape and scale.
    Gamma(f64, f64),
    /// By its quantiles at even distances, from the least to the most, with straight lines between.
    Samples(Arc<[f64]>),
}

impl Shape {
    /// One of it. O(1).
    pub fn draw(&self, luck: &mut Luck) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Uniform(low, high) => low + (high - low) * luck.share(),
            Self::Exponential(mean) => mean * luck.exponential(),
            Self::Lognormal(median, sigma) => median * (sigma * luck.normal()).exp(),
            Self::Gamma(shape, scale) => scale * gamma(*shape, luck),
            Self::Samples(values) => {
                let place = luck.share() * (values.len() - 1) as f64;
                let (low, part) = (place as usize, place.fract());
                let high = (low + 1).min(values.len() - 1);
                values[low] + (values[high] - values[low]) * part
            }
        }
    }
}

/// A gamma variate of scale 1 (Marsaglia and Tsang, 2000).
fn gamma(shape: f64, luck: &mut Luck) -> f64 {
    if shape < 1.0 {
        let boost = luck.share().powf(1.0 / shape);
        return gamma(shape + 1.0, luck) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = luck.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && luck.share().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(shape: &Shape) -> (f64, f64) {
        let count = 400_000_u64;
        let drawn = (0..count).map(|n| shape.draw(&mut Luck::of(1, [n, 0, 0, 0])));
        let (sum, squares) = drawn.fold((0.0, 0.0), |(sum, squares), it| {
            assert!(it >= 0.0 && it.is_finite());
            (sum + it, squares + it * it)
        });
        let mean = sum / count as f64;
        (mean, squares / count as f64 - mean * mean)
    }

    #[test]
    fn shapes_have_the_moments_of_their_names() {
        let samples: Arc<[f64]> = Arc::from([0.0, 1.0, 4.0]);
        let lognormal = (0.125_f64.exp(), (0.25_f64.exp() - 1.0) * 0.25_f64.exp());
        for (shape, mean, variance) in [
            (Shape::Constant(3.0), 3.0, 0.0),
            (Shape::Uniform(1.0, 3.0), 2.0, 1.0 / 3.0),
            (Shape::Exponential(2.0), 2.0, 4.0),
            (Shape::Lognormal(1.0, 0.5), lognormal.0, lognormal.1),
            (Shape::Gamma(0.5, 2.0), 1.0, 2.0),
            (Shape::Gamma(4.0, 0.5), 2.0, 1.0),
            (Shape::Samples(samples), 1.5, 0.5 * (1.0 / 3.0 + 7.0) - 2.25),
        ] {
            let (found, spread) = moments(&shape);
            assert!((found - mean).abs() < 0.02 * mean, "{shape:?}: mean {found}, not {mean}");
            let off = (spread - variance).abs();
            assert!(off < 0.03 * variance + 1e-9, "{shape:?}: variance {spread}, not {variance}");
        }
    }
}
