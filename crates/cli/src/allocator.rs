//! The allocator: training takes and frees large buffers all the time, and giving their pages back to the system each time
//! costs more than some of the operations that asked for them.

use std::ffi::c_int;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: c_int = 15;
/// Never give pages back.
const NEVER: std::ffi::c_long = -1;

/// Keeps freed pages for the next operation.
#[allow(unsafe_code)] // The bindings are foreign functions.
pub(crate) fn keep_freed_pages() {
    // SAFETY: the function sets one number of the allocator and may be called at any time; the option exists in both versions
    // of the allocator that the crate can build.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, NEVER) }
}
