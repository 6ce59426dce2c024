FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake g++ make perl && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --bin wellspring && cp /target/release/wellspring /wellspring

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 wellspring && install -d -o wellspring /var/lib/wellspring
COPY --from=build /wellspring /usr/local/bin/wellspring
COPY wellspring.toml features.sql /etc/wellspring/
WORKDIR /etc/wellspring
USER wellspring
EXPOSE 8686
ENTRYPOINT ["wellspring"]
CMD ["serve", "--config", "wellspring.toml"]
