# syntax=docker/dockerfile:1

# The builder's Debian is the final image's, so the glibc it links to is the one it runs on.
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /build
COPY . .
ARG REVISION=unknown
# The caches keep the registry and the compiled dependencies from one build to the next; what the
# final image needs is copied out of them. The compiler that comes with the image is all that
# aws-lc-sys and mimalloc ask for: no cmake, no Go, no OpenSSL.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    MASKINPORTEN_PROXY_COMMIT="$REVISION" cargo build --release --locked --bin maskinporten-proxy \
    && install -D -m 0755 target/release/maskinporten-proxy /out/usr/local/bin/maskinporten-proxy \
    && install -D -m 0644 -t /out/usr/share/doc/maskinporten-proxy LICENSE-APACHE LICENSE-MIT \
    && install -d -m 0755 /out/etc/maskinporten-proxy

# glibc, CA certificates and nothing else: no shell, no package manager. User 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="maskinporten-proxy" \
      org.opencontainers.image.description="A proxy that signs in to Maskinporten for you" \
      org.opencontainers.image.source="https://github.com/maskinporten-proxy/maskinporten-proxy" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/ /
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# Relative paths in a configuration are resolved against its own folder, not this one.
WORKDIR /etc/maskinporten-proxy
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/maskinporten-proxy", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/maskinporten-proxy"]
CMD ["serve", "--config", "/etc/maskinporten-proxy/proxy.toml"]
