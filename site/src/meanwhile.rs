//! Something that goes on while something else is done.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Does `repeated` again and again while `work` is done, and returns what both found.
pub fn meanwhile<R: Send, T>(
    repeated: impl Fn() -> R + Sync,
    work: impl FnOnce() -> T,
) -> (Vec<R>, T) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let all = scope.spawn(|| {
            let mut found = Vec::new();
            while !over.load(Ordering::Relaxed) {
                found.push(repeated());
            }
            found
        });
        let done = {
            // Also if `work` panics, or the scope would wait for ever.
            let _end = End(&over);
            work()
        };
        (all.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), done)
    })
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
