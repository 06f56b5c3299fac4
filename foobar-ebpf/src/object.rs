//! What every object has: a licence, and a panic path.

/// The licence under which the kernel loads the programs.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A panic path that survives optimisation is an endless loop, which the verifier refuses; `unreachable_unchecked` would
/// delete bounds checks.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
