//! How many heaps the C library's allocator keeps: see `mallopt(3)`, M_ARENA_MAX.

/// Lets it keep at most `count`. Any thread may allocate from any; each keeps what was once used in it, and of a process
/// that moves pieces of half a mebibyte between threads, a heap for each thread keeps several times what is in use.
///
/// To be called before threads begin. Does nothing with another C library than glibc.
pub fn keep_at_most(count: usize) {
    #[cfg(target_env = "gnu")]
    {
        let count = libc::c_int::try_from(count).unwrap_or(libc::c_int::MAX);
        // SAFETY: it takes two numbers and sets one of its own.
        let set = unsafe { libc::mallopt(libc::M_ARENA_MAX, count) };
        debug_assert_eq!(set, 1, "glibc answers 0 to what it doesn't know");
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = count;
}
