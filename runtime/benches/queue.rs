//! Push and pop of the ready queue, from one waiting delivery to a million. `cargo bench --bench queue`.

use campanile::bench::queue::Load;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn push_and_pop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    for waiting in [1, 1_000, 1_000_000] {
        let mut load = Load::new(1_000, waiting);
        load.turn();
        group.throughput(Throughput::Elements(load.operations() as u64));
        group.sample_size(if waiting > 10_000 { 10 } else { 100 });
        group.bench_function(format!("{waiting} waiting"), |bencher| bencher.iter(|| load.turn()));
    }
    group.finish();
}

criterion_group!(benches, push_and_pop);
criterion_main!(benches);
