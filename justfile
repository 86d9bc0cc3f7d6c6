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

# Figures against peers, in one run. They are never part of the tests.
bench:
    cd tests/benchmarks && cargo run --release --bin next-fire

# Licences, advisories and banned crates (needs cargo-deny).
deny:
    cargo deny check
