# The program alone: PostgreSQL, InfluxDB and the broker are other containers
# (docker-compose.yml).
FROM golang:1.26.5-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath \
      -ldflags "-s -w -X main.version=${VERSION}" -o /out/thirdstate ./cmd/thirdstate \
 && install -d -o 10001 -g 10001 -m 0750 /out/data

FROM debian:bookworm-20260824-slim
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Third State" \
      org.opencontainers.image.description="Finds latent faults of machines and follows each until the customer is satisfied" \
      org.opencontainers.image.source="https://github.com/thirdstate/thirdstate" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Certificates for TLS to brokers and databases, zones for the sites' local times.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /usr/local/share/
ENV ZONEINFO=/usr/local/share/zoneinfo.zip
COPY --from=build /out/thirdstate /usr/local/bin/thirdstate
# The intake log and the snapshots; an empty volume takes the folder's owner.
COPY --from=build --chown=10001:10001 /out/data /var/lib/thirdstate
USER 10001:10001
VOLUME /var/lib/thirdstate
ENV THIRDSTATE_DATA=/var/lib/thirdstate \
    THIRDSTATE_HTTP=0.0.0.0:8080
EXPOSE 8080 1883
ENTRYPOINT ["thirdstate"]
CMD ["serve"]
