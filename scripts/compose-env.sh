#!/usr/bin/env bash
# compose-env.sh [FILE] writes .env for docker-compose.yml: a random password for
# each service, readable by you alone. An existing file is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
file=${1:-.env}

if [ -e "$file" ]; then
  echo "compose-env: $file exists and is left as it is (its passwords are in the volumes)" >&2
  exit 0
fi

# 32 random bytes as hex: safe in URLs and in shells.
secret() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

umask 077
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
cat >"$new" <<END
# Made by scripts/compose-env.sh. The services take these at their first start;
# to change one later, change it in the service too.
POSTGRES_PASSWORD=$(secret)
INFLUX_PASSWORD=$(secret)
INFLUX_TOKEN=$(secret)
MQTT_PASSWORD=$(secret)
GRAFANA_PASSWORD=$(secret)
# Ports on this host, all on 127.0.0.1:
#THIRDSTATE_PORT=8080
#GRAFANA_PORT=3000
#INFLUX_PORT=8086
#MQTT_PORT=1883
END
ln "$new" "$file" # fails if someone else was quicker
echo "compose-env: wrote $file; next: docker compose up -d --build" >&2
