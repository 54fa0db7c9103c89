//! Which unit for products of `bf16` a processor has.

use std::sync::OnceLock;

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // Other processors have none of them.
pub(crate) enum Unit {
    /// Tiles of AMX: 16 × 16 sums over 32 elements at once. Intel, since Sapphire Rapids.
    Amx,
    /// Vectors of AVX-512: 16 sums over 2 elements at once. AMD since Zen 4, Intel since Cooper Lake.
    Avx512,
}

impl Unit {
    /// The faster unit of this machine, if it has any.
    pub(crate) fn found() -> Option<Self> {
        static FOUND: OnceLock<Option<Unit>> = OnceLock::new();
        *FOUND.get_or_init(|| Self::all().into_iter().next())
    }

    /// Whether it multiplies faster than the vectors of `f32` beside it. Tiles do on every processor; vectors on AMD's, where an
    /// instruction takes two elements in the time of one (1.9 to 2.5 times as fast on Zen 4), and not on Intel's, where it takes
    /// longer (0.6 times as fast on Sapphire Rapids).
    pub(crate) fn is_faster(self) -> bool {
        self == Self::Amx || vendor() == *b"AuthenticAMD"
    }

    /// The units of this machine, the faster first.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn all() -> Vec<Self> {
        // Packing, which serves both, takes all of these.
        let vectors = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512bf16");
        let tiles = vectors && super::amx::is_permitted();
        [tiles.then_some(Self::Amx), vectors.then_some(Self::Avx512)].into_iter().flatten().collect()
    }

    /// None is known on such a processor.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn all() -> Vec<Self> {
        vec![]
    }
}

/// Who made the processor, as `cpuid` spells it.
#[cfg(target_arch = "x86_64")]
fn vendor() -> [u8; 12] {
    let found = std::arch::x86_64::__cpuid(0);
    let mut name = [0; 12];
    for (letters, register) in name.chunks_exact_mut(4).zip([found.ebx, found.edx, found.ecx]) {
        letters.copy_from_slice(&register.to_le_bytes());
    }
    name
}

/// Nobody asks on such a processor, for it has no unit.
#[cfg(not(target_arch = "x86_64"))]
fn vendor() -> [u8; 12] {
    *b"other makers"
}
