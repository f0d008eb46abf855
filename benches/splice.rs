//! The splice alone: what one tag costs in the switcher, from arrival to the decision that it leaves.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/support/synthetic.rs"]
mod synthetic;

use synthetic::Stage;

fn splice(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("splice");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (name, inputs, cut_every) in [
        ("one input on air", 1, None),
        ("one on air, two more cued", 3, None),
        ("the slate", 0, None),
        ("a take every two seconds", 2, Some(2)),
    ] {
        let mut stage = Stage::new(inputs);
        stage.run_seconds(5, None);
        let begin = stage.tags();
        stage.run_seconds(10, cut_every);
        let per_second = (stage.tags() - begin) / 10;
        // One second of media for each iteration; elements are tags: those that arrive and those that leave.
        group.throughput(Throughput::Elements(per_second));
        group.bench_function(name, |bencher| bencher.iter(|| stage.run_seconds(1, cut_every)));
    }
    group.finish();
}

criterion_group!(benches, splice);
criterion_main!(benches);
