//! A short name for a long text.

/// FNV-1a: stable over versions of this program, which std's hasher is not.
pub(crate) fn of(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
