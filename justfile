# The commands of daily work; `just` lists them.

default:
    @just --list

# Check that everything compiles
check:
    cargo check --workspace --all-targets

# Run all tests
test:
    cargo test --workspace

# Format and lint
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Everything that continuous integration runs; the first time takes about 55 minutes
ci:
    bash .ci/run

# Train the first model, which draws emoji from their names
quickstart *changes:
    cargo run --release -- train configs/quickstart.toml {{changes}}

# Time the training step and every kernel
bench:
    cargo run --release -- bench step
    cargo bench --workspace --bench kernels
    cargo bench --workspace --bench convolutions

# Build and pack the CUDA program where there is neither GPU nor GitHub; needs root rights
cuda-pack *suites:
    bash .ci/cuda/pack {{suites}}

# Build the documentation of all crates, private items too
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
