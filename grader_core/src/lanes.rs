//! Four words of 64 bits side by side, and the choice of instructions that work on them. A kernel is written once over
//! `Lanes`; the widest vectors that the processor has are found when it runs. The only file with unsafe code.
#![allow(unsafe_code)]

use std::sync::OnceLock;

/// Lanes of a vector.
pub(crate) const LANES: usize = 4;

/// Four words. Methods are inlined into a kernel that was compiled for their instructions.
pub(crate) trait Lanes: Copy {
    /// Zeros.
    fn zero() -> Self;
    /// Word k of the k-th of four rows.
    fn pick(rows: [&[u64; LANES]; LANES]) -> Self;
    /// Bits of either.
    fn or(self, other: Self) -> Self;
    /// Bits of both.
    fn and(self, other: Self) -> Self;
    /// Bits that `other` lacks.
    fn and_not(self, other: Self) -> Self;
    /// Word by word, modulo 2^64.
    fn less(self, other: Self) -> Self;
    /// The highest bit of each word as 0 or 1.
    fn highest_bit(self) -> Self;
    /// Each word one lane on, `first` in lane 0, the last word dropped.
    fn moved_on(self, first: u64) -> Self;
    /// The words.
    fn words(self) -> [u64; LANES];
}

/// Work that is worth compiling for several processors. Its `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What the work yields.
    type Output;

    /// Does the work.
    fn run<L: Lanes>(self) -> Self::Output;
}

/// Instructions that a kernel can be compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// What every processor has.
    Portable,
    /// 256-bit vectors.
    Avx2,
    /// The same vectors with twice the registers and logic of three operands. By count wider vectors gain nothing, as
    /// twice the lanes take twice the blends; that was never measured.
    Avx512,
}

/// Those that this process works with; found, or said, once.
static CHOSEN: OnceLock<Instructions> = OnceLock::new();

impl Instructions {
    /// Those that this processor has, the best one first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        [Self::Avx512, Self::Avx2, Self::Portable].into_iter().filter(|instructions| instructions.is_available())
    }

    /// The best of them, unless others were chosen.
    #[inline]
    pub(crate) fn best() -> Self {
        *CHOSEN.get_or_init(|| Self::available().next().unwrap_or(Self::Portable))
    }

    /// Has this process work with those of a name, so that they can be measured one against another. An error where the
    /// processor lacks them, or where the process works already.
    #[cfg(feature = "python")]
    pub(crate) fn choose(name: &str) -> Result<(), String> {
        let chosen = Self::available().find(|one| one.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::available().map(Self::name).collect();
            format!("instructions: `{name}` is none of those that this processor has: {}", names.join(", "))
        })?;
        match *CHOSEN.get_or_init(|| chosen) {
            working if working == chosen => Ok(()),
            working => Err(format!("instructions: this process works with `{}` already", working.name())),
        }
    }

    #[cfg(feature = "python")]
    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor has them; the standard library remembers what it found.
    #[inline]
    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// Runs `kernel` with these, or with the portable ones where the processor lacks them.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        match self {
            // SAFETY: the processor has the instructions that the function is compiled for.
            Self::Avx512 if self.is_available() => return unsafe { x86::with_avx512(kernel) },
            // SAFETY: as above.
            Self::Avx2 if self.is_available() => return unsafe { x86::with_avx2(kernel) },
            _ => {}
        }
        kernel.run::<[u64; LANES]>()
    }
}

impl Lanes for [u64; LANES] {
    #[inline(always)]
    fn zero() -> Self {
        [0; LANES]
    }

    #[inline(always)]
    fn pick(rows: [&[u64; LANES]; LANES]) -> Self {
        [rows[0][0], rows[1][1], rows[2][2], rows[3][3]]
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] | other[lane])
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] & other[lane])
    }

    #[inline(always)]
    fn and_not(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] & !other[lane])
    }

    #[inline(always)]
    fn less(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane].wrapping_sub(other[lane]))
    }

    #[inline(always)]
    fn highest_bit(self) -> Self {
        self.map(|word| word >> 63)
    }

    #[inline(always)]
    fn moved_on(self, first: u64) -> Self {
        [first, self[0], self[1], self[2]]
    }

    #[inline(always)]
    fn words(self) -> [u64; LANES] {
        self
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_andnot_si256, _mm256_blend_epi32, _mm256_loadu_si256, _mm256_or_si256,
        _mm256_permute4x64_epi64, _mm256_set_epi64x, _mm256_setzero_si256, _mm256_srli_epi64, _mm256_storeu_si256,
        _mm256_sub_epi64,
    };

    use super::{Kernel, LANES, Lanes};

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Vector>()
    }

    #[target_feature(enable = "avx2,popcnt,avx512f,avx512vl")]
    pub(super) fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Vector>()
    }

    /// A vector register. Only the two functions above make any.
    #[derive(Clone, Copy)]
    pub(super) struct Vector(__m256i);

    // SAFETY of every block below: a `Vector` exists only in a kernel that runs on a processor with AVX2. The loads and
    // the store need no alignment and stay within the four words of the reference that they are given.
    impl Lanes for Vector {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_setzero_si256() })
        }

        #[inline(always)]
        fn pick(rows: [&[u64; LANES]; LANES]) -> Self {
            // SAFETY: see above.
            unsafe {
                let [first, second, third, fourth] = rows.map(|row| _mm256_loadu_si256(row.as_ptr().cast()));
                let two = _mm256_blend_epi32::<0b0000_1100>(first, second);
                let three = _mm256_blend_epi32::<0b0011_0000>(two, third);
                Self(_mm256_blend_epi32::<0b1100_0000>(three, fourth))
            }
        }

        #[inline(always)]
        fn or(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_or_si256(self.0, other.0) })
        }

        #[inline(always)]
        fn and(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_and_si256(self.0, other.0) })
        }

        #[inline(always)]
        fn and_not(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_andnot_si256(other.0, self.0) })
        }

        #[inline(always)]
        fn less(self, other: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_sub_epi64(self.0, other.0) })
        }

        #[inline(always)]
        fn highest_bit(self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_srli_epi64::<63>(self.0) })
        }

        #[inline(always)]
        fn moved_on(self, first: u64) -> Self {
            // SAFETY: see above.
            unsafe {
                let moved = _mm256_permute4x64_epi64::<0b10_01_00_00>(self.0);
                Self(_mm256_blend_epi32::<0b0000_0011>(moved, _mm256_set_epi64x(0, 0, 0, first.cast_signed())))
            }
        }

        #[inline(always)]
        fn words(self) -> [u64; LANES] {
            let mut words = [0; LANES];
            // SAFETY: see above.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0) };
            words
        }
    }
}
