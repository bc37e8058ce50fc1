//! Serves one variant as `cargo bench -- serve` does, and prints at SIGTERM how
//! often, and how much, it has allocated. A program of its own, so that those
//! that are timed have the plain allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::{ExitCode, exit};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, thread};

use clap::Parser;
use pinloop_bench::serve::{self, Serve};
use pinloop_bench::studies::count::allocator;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    serve: Serve,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let served = tell_at_the_end().map_err(Into::into).and_then(|()| serve::run(&arguments.serve));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell_at_the_end() -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    thread::Builder::new().name("end".to_string()).spawn(move || {
        if signals.forever().next().is_some() {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            println!("{}", allocator::said(read(&ALLOCATIONS), read(&BYTES)));
            exit(0);
        }
    })?;
    Ok(())
}

/// The system's allocator, counting what it is asked for.
struct Counting;

// SAFETY: as `System`, which does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

fn count(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}
