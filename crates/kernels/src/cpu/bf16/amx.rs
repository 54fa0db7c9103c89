//! Products in the tiles of AMX (Intel's Architecture Instruction Set Extensions, chapter 3).
//!
//! The compiler has no stable intrinsics for them, so they are written out.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

use super::packing::{Block, TILE, TILE_BYTES};
use super::product::Sums;

/// Whether the processor has tiles of `bf16` and the operating system lets this process use them.
pub(super) fn is_permitted() -> bool {
    /// Bits of EDX in leaf 7.
    const TILES_OF_BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    let features = __cpuid_count(7, 0).edx;
    features & TILES != 0 && features & TILES_OF_BF16 != 0 && ask_permission()
}

/// Linux saves the tiles of those processes alone that have asked for it.
#[cfg(target_os = "linux")]
fn ask_permission() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: the call asks for a permission and touches no memory; a kernel that does not know it answers with an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Elsewhere it is not known how to ask.
#[cfg(not(target_os = "linux"))]
fn ask_permission() -> bool {
    false
}

/// The tiles of this thread, in use while this lives.
pub(super) struct Tiles(());

impl Tiles {
    /// Takes them.
    ///
    /// # Safety
    /// [`is_permitted`] must have said yes.
    pub(super) unsafe fn take() -> Self {
        /// Palette 1: eight tiles of 16 rows of 64 bytes.
        #[repr(align(64))]
        struct Configuration([u8; 64]);
        let mut configuration = Configuration([0; 64]);
        configuration.0[0] = 1;
        for tile in 0..8 {
            configuration.0[16 + 2 * tile] = TILE_BYTES as u8;
            configuration.0[48 + tile] = TILE as u8;
        }
        // SAFETY: the caller has the permission; the instruction reads the 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration.0, options(nostack, readonly)) };
        Self(())
    }

    /// `out = Σ a b` or `out += Σ a b` over a block of 32 × 32 sums.
    pub(super) fn multiply(&self, block: &Block<'_>, out: Sums<'_>, added: bool) {
        let [a, b] = [block.a, block.b].map(|[upper, lower]| [upper.as_ptr(), lower.as_ptr()]);
        // SAFETY: `Block` holds as many tiles as it says of each factor, at least one, and `Sums` 32 rows of 32 sums.
        unsafe {
            asm!(
                "test {added}, {added}",
                "jz 3f",
                "tileloadd tmm0, [{sums} + {stride}*1]",
                "tileloadd tmm1, [{sums} + {stride}*1 + 64]",
                "add {sums}, {below}",
                "tileloadd tmm2, [{sums} + {stride}*1]",
                "tileloadd tmm3, [{sums} + {stride}*1 + 64]",
                "sub {sums}, {below}",
                "jmp 2f",
                "3:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm6, [{b0} + {row}*1]",
                "tileloadd tmm4, [{a0} + {row}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {row}*1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {row}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 1024",
                "add {a1}, 1024",
                "add {b0}, 1024",
                "add {b1}, 1024",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {stride}*1], tmm0",
                "tilestored [{sums} + {stride}*1 + 64], tmm1",
                "add {sums}, {below}",
                "tilestored [{sums} + {stride}*1], tmm2",
                "tilestored [{sums} + {stride}*1 + 64], tmm3",
                a0 = inout(reg) a[0] => _,
                a1 = inout(reg) a[1] => _,
                b0 = inout(reg) b[0] => _,
                b1 = inout(reg) b[1] => _,
                sums = inout(reg) out.row(0) => _,
                steps = inout(reg) block.steps() => _,
                added = in(reg) usize::from(added),
                stride = in(reg) out.bytes(),
                below = in(reg) out.bytes() * TILE as isize,
                row = in(reg) TILE_BYTES,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    /// Tiles that are not in use need not be saved when another thread takes the core.
    fn drop(&mut self) {
        // SAFETY: they were taken.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
