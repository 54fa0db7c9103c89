# The program on the CPU.
#
#   docker build -t interfuse .
#   docker run --rm -v "$PWD/runs:/work/runs" interfuse train configs/quickstart.toml
#
# Folders that are mounted have to be writable for user 10001.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo install --locked --path crates/cli --root /usr/local

FROM debian:bookworm-slim
RUN useradd --uid 10001 --create-home interfuse \
    && mkdir -p /work/runs \
    && chown -R interfuse /work
COPY --from=build /usr/local/bin/interfuse /usr/local/bin/interfuse
COPY configs /work/configs
COPY LICENSE-APACHE LICENSE-MIT NOTICE /usr/share/doc/interfuse/
USER 10001
WORKDIR /work
ENTRYPOINT ["interfuse"]
CMD ["--help"]
