# syntax=docker/dockerfile:1
# Both binaries and the migrator in one small image. Configuration and secrets come from the
# environment at run time; .dockerignore keeps those of a checkout out of the build.

FROM rust:1.95.0-bookworm AS build
# The image's toolchain as it is, without the formatter and linter that rust-toolchain.toml names.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --workspace --bins && \
    install -D -t /out target/release/api target/release/worker target/release/migrate

# Debian rather than distroless: its bash serves the health checks and the migrate service of
# docker-compose.yml.
FROM debian:bookworm-slim
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin crm
COPY --from=build /out/ /usr/local/bin/
USER 10001
EXPOSE 8080
CMD ["api", "serve"]
