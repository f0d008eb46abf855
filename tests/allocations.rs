//! The splice allocates nothing per tag.

#[path = "support/synthetic.rs"]
mod synthetic;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// One test in this binary: the count is of the whole process.
#[test]
fn a_steady_programme_allocates_nothing_per_tag() {
    let _profiler = dhat::Profiler::builder().testing().build();
    for inputs in [1, 3] {
        let mut stage = synthetic::Stage::new(inputs);
        // The rings grow to their size first.
        stage.run_seconds(30, None);
        let (tags, before) = (stage.tags(), dhat::HeapStats::get().total_blocks);
        stage.run_seconds(60, None);
        let (tags, blocks) = (stage.tags() - tags, dhat::HeapStats::get().total_blocks - before);
        assert!(tags > 9000, "{tags} tags");
        // Now and then a table grows; that is not "per tag".
        assert!(blocks * 1000 <= tags, "{blocks} allocations for {tags} tags, {inputs} inputs");
    }
}
