//! Whatever a length in a file says, reading allocates for no more than the bytes that are there.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{Placed, random_model, seal};
use signfold::Model;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Remembers the largest allocation of each thread.
struct Watching;

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller keeps what `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `alloc` above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

#[test]
fn no_length_is_believed() {
    let values = [64, 1024, 0xFFFF, 1 << 20, 1 << 26, i32::MAX as u32, u32::MAX - 63, u32::MAX];
    let files = (0..100).map(|seed| random_model(seed).write());
    let files: Vec<_> = files.filter(|file| file.len() <= 1280).collect();
    assert!(files.len() > 10, "only {} small files", files.len());
    for file in files {
        for at in (32..file.len()).step_by(4) {
            for value in values {
                let mut forged = file.clone();
                forged[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
                seal(&mut forged);
                // Not aligned: what can be copied, is.
                let file = Placed::new(&forged, 1);
                LARGEST.set(0);
                let _ = Model::read(file.bytes());
                let largest = LARGEST.get();
                // A layer takes more room in memory than its record of 64 bytes.
                assert!(largest <= 4 * file.bytes().len(), "{largest} bytes for word at {at}");
            }
        }
    }
}
