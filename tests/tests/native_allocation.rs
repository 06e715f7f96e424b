//! The native engine allocates nothing once it has seen a batch as large.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::num::NonZeroUsize;

use duoguard::{Graph, Model, TokenBatch};
use duoguard_tests::mini;

/// The system's allocator, which counts what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every method hands its arguments on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_batch_allocates_nothing_when_an_earlier_one_was_as_large() {
    let read = |name: &str| fs::read(mini().join(name)).unwrap();
    let graph = Graph::new(&read("model.onnx"), &read("weights.data")).unwrap();
    let mut engine = graph.open_engine("native", NonZeroUsize::MIN).unwrap();
    let model = Model::open(mini()).unwrap();
    let manifest = model.manifest();
    let outputs = manifest.categories.len() + manifest.languages.len();
    let mut logits = vec![0.0; 4 * outputs];
    let ids: Vec<u32> = (0..256).map(|id| id * 61 % 16_000).collect();
    let mut run = |rows: usize, tokens: usize| {
        let batch = TokenBatch {
            ids: &ids[..rows * tokens],
            rows,
            tokens,
        };
        let before = ALLOCATIONS.with(Cell::get);
        engine.run(&batch, &mut logits[..rows * outputs]).unwrap();
        ALLOCATIONS.with(Cell::get) - before
    };
    assert!(run(4, 64) > 0, "nothing is counted");
    for (rows, tokens) in [(4, 64), (1, 1), (1, 200), (2, 100), (3, 17)] {
        assert_eq!(run(rows, tokens), 0, "{rows} x {tokens}");
    }
}
