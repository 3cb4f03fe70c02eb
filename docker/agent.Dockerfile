# The device agent and its inference worker. Context: build/images/agent, laid out by scripts/images.
ARG BASE=debian:12-slim

FROM ${BASE} AS runtime
# scripts/images passes a base that has these already: then nothing is downloaded.
ARG PACKAGES="ca-certificates libcurl4 libfmt9 libseccomp2 libspdlog1.10 libsqlite3-0 libssl3 libstdc++6 libsystemd0 libzstd1 zlib1g"
RUN dpkg-query --show ${PACKAGES} >/dev/null 2>&1 || \
    (apt-get update && \
     DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${PACKAGES} && \
     rm -rf /var/lib/apt/lists/*)

# Every library a program asks for must be in the image: found out now, not at the first start.
FROM runtime AS files
COPY bin/ /files/usr/bin/
COPY lib/ /files/usr/lib/ferry/
COPY entrypoint /files/usr/bin/ferry-entrypoint
COPY licences/ /files/usr/share/doc/ferry/
RUN ! ldd /files/usr/bin/ferry-agent /files/usr/bin/ferry-worker /files/usr/lib/ferry/libonnxruntime.so.1 | grep 'not found' && \
    mkdir -p /files/var/lib/ferry && chown -R 65532:65532 /files/var/lib/ferry && chmod 700 /files/var/lib/ferry

FROM runtime
LABEL org.opencontainers.image.title="ferry-agent" \
      org.opencontainers.image.description="Ferry's device agent with ONNX Runtime" \
      org.opencontainers.image.licenses="Apache-2.0 AND MIT"
COPY --from=files /files/ /
USER 65532:65532
VOLUME /var/lib/ferry
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/ferry-entrypoint"]
