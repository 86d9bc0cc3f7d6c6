# The one front door, here and in CI. Plain cargo does as well: the recipes only spell the options.

# Everything that CI checks.
check: fmt clippy doc test

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# The tests. With TEST_POSTGRES_URL also those that need PostgreSQL; see docs/testing.md.
test:
    cargo test --workspace --locked

# The main job on bundled data.
demo:
    cargo run --bin scraper-legacy -- config/pipelines.yml

# Figures, against peers where there are any, in one run. They are never part of the tests.
bench:
    cargo bench -p pipeline-core --bench chain
    cargo bench -p transforms --bench parse
    cargo run --release -p transforms --example database_sink -- 1000000
    cargo bench -p engine --bench throughput
    cargo run --release -p discord --example figures
    cd tests/benchmarks && cargo run --release --bin next-fire
    cargo build --release --bin scraper-legacy
    python3 tests/benchmarks/peers.py

# Licences, advisories and banned crates (needs cargo-deny).
deny:
    cargo deny check
