//! Which instruction set the CPU kernels run with.
//!
//! Owns the look at the processor. Kernels never look themselves: each takes an [`Isa`], so that a test can run every one
//! that its machine has, and a machine with AVX-512 also proves what one without it computes.

use std::fmt;

/// An instruction set of this machine: only [`Isa::detect`] and [`Isa::available`] make one, which is what makes it sound
/// to call code that is compiled for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

/// The sets, each with all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The target's baseline instructions.
    Portable,
    /// AVX2 with FMA and F16C (Haswell, Zen and later).
    Avx2,
    /// AVX-512 F, BW, DQ and VL (Skylake-SP and later).
    Avx512,
    /// AVX-512 with VNNI (Cascade Lake, Zen 4 and later): serving's integer products need it.
    Avx512Vnni,
}

impl Isa {
    /// What every machine of this target has.
    pub const PORTABLE: Self = Self(Level::Portable);

    /// The best that this processor has.
    pub fn detect() -> Self {
        let best = [Level::Avx512Vnni, Level::Avx512, Level::Avx2].into_iter().find(|level| level.is_here());
        Self(best.unwrap_or(Level::Portable))
    }

    /// Every one that this processor has, from the plainest to the best.
    pub fn available() -> Vec<Self> {
        let Self(best) = Self::detect();
        let all = [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Vnni];
        all.into_iter().filter(|level| *level <= best).map(Self).collect()
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512-vnni",
        })
    }
}

impl Level {
    #[cfg(target_arch = "x86_64")]
    fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Self::Avx2.is_here()
            }
            Self::Avx512Vnni => is_x86_feature_detected!("avx512vnni") && Self::Avx512.is_here(),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_here(self) -> bool {
        self == Self::Portable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_available_sets_end_with_the_detected_one_and_begin_with_the_portable_one() {
        let available = Isa::available();
        assert_eq!(available.first(), Some(&Isa::PORTABLE));
        assert_eq!(available.last(), Some(&Isa::detect()));
        assert!(available.iter().all(|isa| isa.level().is_here()));
    }
}
