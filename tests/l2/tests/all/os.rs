//! The operating system as a world sees it: the randomness and the time of day that the process
//! asks its C library for are the world's on the world's thread, and the system's on all others.
//!
//! Nothing else reaches everything that draws: tokio's `select!`, quinn's connections, the keys of
//! hash maps. What is not reached is what ring draws for TLS, which asks the kernel itself: keys,
//! of which only the length shows in a datagram's.

use std::{
    cell::Cell,
    ffi::{c_int, c_long, c_uint, c_void},
    time::Duration,
};

use tokio::time::Instant;

/// When worlds begin, since 1970: in 2026, so that lengths of times are as they are today.
const BEGIN: Duration = Duration::from_secs(1_790_000_000);

thread_local! {
    static DICE: Cell<Option<u64>> = const { Cell::new(None) };
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// From now on this thread's randomness comes from a seed.
pub fn seed(seed: u64) {
    DICE.set(Some(seed));
}

/// From now on this thread's time of day is that of its runtime's clock.
pub fn begin() {
    BEGAN.set(Some(Instant::now()));
}

/// How long the world has gone on, on its own thread.
pub fn elapsed() -> Duration {
    BEGAN.try_with(Cell::get).ok().flatten().map_or(Duration::ZERO, |began| began.elapsed())
}

/// SplitMix64.
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Stands before the C library's function of this name: see `man 2 getrandom`.
///
/// # Safety
/// `buffer` must be good for `length` bytes.
// SAFETY: it has the signature and does what the function of this name is documented to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    // A thread that ends has no dice any more.
    let Ok(Some(mut state)) = DICE.try_with(Cell::get) else {
        // SAFETY: the arguments are passed on as they came.
        let got = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(got).unwrap_or(-1);
    };
    for at in 0..length {
        let [byte, ..] = next(&mut state).to_le_bytes();
        // SAFETY: the caller's buffer has `length` bytes.
        unsafe { buffer.cast::<u8>().add(at).write(byte) };
    }
    DICE.set(Some(state));
    isize::try_from(length).unwrap_or(-1)
}

/// Stands before the C library's function of this name: see `man 2 clock_gettime`.
///
/// # Safety
/// `time` must be good for one time.
// SAFETY: it has the signature and does what the function of this name is documented to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // The runtime's clock reads only the monotonic one.
    let began = BEGAN.try_with(Cell::get).ok().flatten();
    match began {
        Some(began) if clock == libc::CLOCK_REALTIME && !time.is_null() => {
            let now = BEGIN + began.elapsed();
            let tv_sec = now.as_secs() as libc::time_t;
            let tv_nsec = c_long::from(now.subsec_nanos());
            // SAFETY: the caller's pointer is good for one time.
            unsafe { time.write(libc::timespec { tv_sec, tv_nsec }) };
            0
        }
        _ => {
            // SAFETY: the arguments are passed on as they came.
            let done = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
            c_int::try_from(done).unwrap_or(-1)
        }
    }
}

#[test]
fn a_threads_randomness_and_time_of_day_are_the_worlds_where_it_has_one() {
    use std::{hash::BuildHasher as _, time::SystemTime};
    let draw = || {
        let thread = std::thread::spawn(|| {
            seed(7);
            let maps = std::collections::hash_map::RandomState::new().hash_one(1);
            (getrandom::u64().expect("random"), maps)
        });
        thread.join().expect("no panic")
    };
    assert_eq!(draw(), draw(), "the C library's function is not replaced by this one");
    let ours = std::thread::spawn(|| {
        begin();
        SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
    });
    assert_eq!(ours.join().expect("no panic"), BEGIN.as_secs());
    assert_ne!(getrandom::u64(), getrandom::u64());
}
