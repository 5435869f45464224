# An operation in Rust as an image: examples/rust-operation. From the root of the repository:
#
#   docker build --file deploy/rust-action.Dockerfile --tag rust-report .
#
# `Operations::run` reports everything itself, so nothing stands in front of it.
# Of the same Debian as the image below, or the program asks for a newer glibc than is there.
FROM rust:1.94-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
COPY Cargo.toml Cargo.lock /src/
COPY crates /src/crates
COPY python /src/python
COPY benches /src/benches
COPY examples /src/examples
# Read by the documentation that the crate compiles into itself.
COPY docs /src/docs
WORKDIR /src
RUN --mount=type=cache,target=/src/target --mount=type=cache,target=/usr/local/cargo/registry \
    cargo build --locked --profile dist --package rust-operation --bin rust-operation && \
    cp target/dist/rust-operation /rust-operation

FROM gcr.io/distroless/cc-debian12
COPY --from=build /rust-operation /rust-operation
USER 65532:65532
ENTRYPOINT ["/rust-operation"]
