# SPDX-License-Identifier: Apache-2.0
#
# One base, one build, one small image for each part of docker-compose.yml:
#
#     docker build --target posthouse -t posthouse .
#
# posthouse is the image to deploy. It holds no PostgreSQL server, so a node that forgot its database URL fails instead of
# becoming an island. The other targets (setup upstream haproxy postgres pgbouncer prometheus) are the local cluster.
# All run as the numeric user 65532, with a read-only root, and install only what the release of Debian packages.
#
# Reproducible: nothing depends on the time or the place of building, but on the packages of that day. BASE takes a digest;
# with BuildKit, SOURCE_DATE_EPOCH sets the times in the layers too.

ARG BASE=debian:trixie-slim

FROM ${BASE} AS base
ARG SOURCE_DATE_EPOCH=0
COPY compose/install-packages /usr/local/sbin/
RUN echo 'posthouse:x:65532:65532::/nonexistent:/usr/sbin/nologin' >>/etc/passwd \
	&& echo 'posthouse:x:65532:' >>/etc/group

FROM base AS build
RUN install-packages gcc libc6-dev cmake ninja-build pkgconf python3-minimal libuv1-dev libpq-dev libssl-dev \
	libjansson-dev libzstd-dev zlib1g-dev libwslay-dev uthash-dev libllhttp-dev libcmocka-dev
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY include include
COPY sql sql
COPY src src
COPY tests/CMakeLists.txt tests/CMakeLists.txt
COPY tests/upstream tests/upstream
RUN cmake --preset release && cmake --build --preset release --target posthouse fake-upstream \
	&& cmake --install build/release --strip && strip build/release/fake-upstream

FROM base AS upstream
RUN install-packages libuv1t64 libllhttp9.2 libssl3t64 libwslay1 zlib1g libzstd1
COPY --from=build /src/build/release/fake-upstream /usr/local/bin/
USER 65532:65532
EXPOSE 9500
# Ids unlike those of an earlier run: the database remembers them.
ENTRYPOINT ["sh", "-c", "exec fake-upstream --listen 0.0.0.0:9500 --run $(date +%s) \"$@\"", "fake-upstream"]
LABEL org.opencontainers.image.title="Posthouse: scripted upstream" org.opencontainers.image.licenses="Apache-2.0"

FROM base AS posthouse
RUN install-packages ca-certificates libjansson4 libllhttp9.2 libpq5 libssl3t64 libuv1t64 libwslay1 libzstd1 zlib1g \
	&& mkdir /var/lib/posthouse && chown 65532:65532 /var/lib/posthouse
COPY --from=build /usr/local/bin/posthouse /usr/local/bin/posthouse
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Posthouse" \
	org.opencontainers.image.description="A gateway for the OpenAI Responses API" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="${VERSION}" \
	org.opencontainers.image.revision="${REVISION}"
# The data directory is only named so that a node without a database URL can say what it lacks.
ENV POSTHOUSE_LISTEN=0.0.0.0:8080 POSTHOUSE_ADMIN_LISTEN=0.0.0.0:9090 POSTHOUSE_DATA_DIR=/var/lib/posthouse
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["posthouse", "healthcheck"]
ENTRYPOINT ["posthouse"]
CMD ["serve"]

FROM posthouse AS setup
COPY compose/setup /usr/local/bin/setup-posthouse
ENTRYPOINT ["setup-posthouse"]

FROM base AS haproxy
RUN install-packages haproxy
COPY compose/haproxy.cfg /etc/haproxy/haproxy.cfg
RUN haproxy -c -f /etc/haproxy/haproxy.cfg
USER 65532:65532
EXPOSE 8080
# USR1: connections end first. USR2 reloads.
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --timeout=2s --start-period=30s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"]
ENTRYPOINT ["haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
LABEL org.opencontainers.image.title="Posthouse: load balancer" org.opencontainers.image.licenses="Apache-2.0"

# Without LLVM, two thirds of what is installed: just-in-time compilation is off.
FROM base AS postgres
RUN mkdir -p /etc/postgresql-common/createcluster.d \
	&& echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/none.conf \
	&& install-packages postgresql-17 \
	&& rm -rf /usr/lib/*/libLLVM* /usr/lib/postgresql/17/lib/llvmjit* /usr/lib/postgresql/17/lib/bitcode \
	&& mkdir -p /var/lib/postgresql/data \
	&& chown -R 65532:65532 /var/lib/postgresql /run/postgresql
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY compose/postgres /usr/local/bin/start-postgres
USER 65532:65532
VOLUME /var/lib/postgresql/data
EXPOSE 5432
# INT: fast shutdown. TERM would wait for every client to leave.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --timeout=2s --start-period=30s CMD ["pg_isready", "-q", "-U", "postgres", "-d", "posthouse"]
ENTRYPOINT ["start-postgres"]
LABEL org.opencontainers.image.title="Posthouse: PostgreSQL" org.opencontainers.image.licenses="Apache-2.0"

FROM base AS pgbouncer
RUN install-packages pgbouncer
COPY compose/pgbouncer.ini /etc/pgbouncer/posthouse.ini
COPY compose/pgbouncer-users.txt /etc/pgbouncer/users.txt
USER 65532:65532
EXPOSE 6432
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --timeout=2s --start-period=30s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/6432"]
ENTRYPOINT ["pgbouncer", "/etc/pgbouncer/posthouse.ini"]
LABEL org.opencontainers.image.title="Posthouse: PgBouncer" org.opencontainers.image.licenses="Apache-2.0"

FROM base AS prometheus
RUN install-packages prometheus
COPY compose/prometheus.yml compose/alerts.yml /etc/prometheus/
RUN promtool check config /etc/prometheus/prometheus.yml \
	&& mkdir -p /var/lib/prometheus/data && chown -R 65532:65532 /var/lib/prometheus
USER 65532:65532
VOLUME /var/lib/prometheus/data
EXPOSE 9090
ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/var/lib/prometheus/data"]
LABEL org.opencontainers.image.title="Posthouse: Prometheus" org.opencontainers.image.licenses="Apache-2.0"

# A build without a target makes the image to deploy.
FROM posthouse
