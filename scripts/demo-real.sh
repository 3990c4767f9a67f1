#!/usr/bin/env bash
# demo-real.sh [FLAG...] runs `thirdstate demo` as in production: on a real
# Mosquitto, a real InfluxDB and a PostgreSQL server, all started here as local
# processes on free loopback ports and stopped at Ctrl-C. No container is needed.
# The broker has the configuration that docker-compose.yml gives it.
#   DATA=folder   where all of it is kept; a second start finds it again
#   PROGRAM=file  what to run in place of bin/thirdstate (the test does)
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$(go env GOPATH)/bin:/usr/sbin

say() { printf 'demo-real: %s\n' "$*" >&2; }
die() { say "$*" && exit 1; }

root=false
[ "$(id -u)" != 0 ] || root=true
if $root; then data=${DATA:-/var/lib/thirdstate-real}; else data=${DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/thirdstate-real}; fi
mkdir -p "$data" 2>/dev/null && [ -w "$data" ] || die "the folder $data cannot be written: give another with DATA=folder"
data=$(cd "$data" && pwd)

exec 9>"$data/lock"
flock -n 9 || die "another demo-real is at work in $data: stop it, or give another folder with DATA=folder"

# PostgreSQL refuses to run as root, and Mosquitto drops root by itself.
as() { # as USER COMMAND...: as that user when we are root, else as ourselves
  local user=$1
  shift
  if $root; then setpriv --reuid="$user" --regid="$user" --init-groups "$@"; else "$@"; fi
}
own() { if $root; then chown -R "$1:" "$2"; fi; }

if $root; then
  for user in postgres mosquitto; do
    id "$user" >/dev/null 2>&1 || die "there is no user $user on this machine: install the package $user"
    as "$user" test -x "$data" || die "the user $user cannot enter $data: give another folder with DATA=folder"
  done
fi

secret() { # secret NAME: a random word, made once and kept
  if [ ! -s "$data/$1.secret" ]; then
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$data/$1.secret")
  fi
  cat "$data/$1.secret"
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 12000)) # below the ports that the kernel gives to connections
    listening "$port" || { echo "$port" && return; }
  done
  die "found no free port on 127.0.0.1"
}
await() { # await NAME PORT PID LOG
  for _ in {1..300}; do
    listening "$2" && return
    kill -0 "$3" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 15 "$4" >&2
  die "$1 did not start; its log is $4"
}

# end PID NAME: ends a program of ours and waits; a pid that is someone else's by now is left alone.
end() {
  [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] || return 0
  kill -TERM "$1" 2>/dev/null || return 0
  for _ in {1..300}; do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  say "$2 (process $1) does not end"
}
end_recorded() { # end_recorded NAME: what the pid file of this run, or of one that was killed, names
  if [ -s "$data/$1.pid" ]; then end "$(cat "$data/$1.pid")" "$1"; fi
  rm -f "$data/$1.pid"
}

# ---- PostgreSQL --------------------------------------------------------------
find_postgres() {
  local made bin
  if [ -s "$cluster/PG_VERSION" ] || as postgres test -s "$cluster/PG_VERSION"; then
    made=$(as postgres cat "$cluster/PG_VERSION")
    if [ -x "/usr/lib/postgresql/$made/bin/pg_ctl" ]; then echo "/usr/lib/postgresql/$made/bin" && return; fi
    die "$cluster was made by PostgreSQL $made: install postgresql-$made, or give another folder with DATA=folder"
  fi
  bin=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  [ -x "$bin" ] || bin=$(readlink -f "$(command -v initdb)") || die "no PostgreSQL programs found: run scripts/setup.sh postgres"
  dirname "$bin"
}
pg_ctl() { (cd / && as postgres "$pgbin/pg_ctl" -D "$cluster" "$@" 9>&-); }
stop_postgres() { if pg_ctl status >/dev/null 2>&1; then pg_ctl stop -m fast -s || say "PostgreSQL does not stop"; fi; }

start_postgres() {
  local password ready
  password=$(secret postgres)
  if ! as postgres test -s "$cluster/PG_VERSION"; then
    say "making a PostgreSQL cluster in $cluster"
    mkdir -p "$cluster"
    printf '%s\n' "$password" >"$data/postgres.pw"
    own postgres "$cluster"
    own postgres "$data/postgres.pw"
    (cd / && as postgres "$pgbin/initdb" -D "$cluster" -U thirdstate -E UTF8 --locale=C.UTF-8 \
      --auth=scram-sha-256 --pwfile="$data/postgres.pw" >"$data/postgres-initdb.log") ||
      die "initdb failed; see $data/postgres-initdb.log"
    rm -f "$data/postgres.pw"
  fi
  touch "$data/postgres.log"
  own postgres "$data/postgres.log"
  pg_ctl start -s -w -l "$data/postgres.log" \
    -o "-c listen_addresses=127.0.0.1 -c port=$pg_port -c unix_socket_directories=''" ||
    { tail -n 15 "$data/postgres.log" >&2 && die "PostgreSQL did not start; its log is $data/postgres.log"; }
  export PGPASSWORD=$password
  ready=$("$pgbin/psql" -h 127.0.0.1 -p "$pg_port" -U thirdstate -d postgres -XAtc \
    "SELECT count(*) FROM pg_database WHERE datname = 'thirdstate'")
  [ "$ready" = 1 ] || "$pgbin/createdb" -h 127.0.0.1 -p "$pg_port" -U thirdstate thirdstate
  unset PGPASSWORD
}

# ---- InfluxDB ----------------------------------------------------------------
influx_query() { # influx_query STATEMENT, by bash itself: a bare machine has no curl
  local body="q=${1// /+}" status
  exec 3<>"/dev/tcp/127.0.0.1/$influx_port"
  printf 'POST /query HTTP/1.0\r\nAuthorization: Token thirdstate:%s\r\n' "$influx_password" >&3
  printf 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s' ${#body} "$body" >&3
  read -r status <&3
  exec 3>&-
  [[ $status == *" 200 "* ]] || die "InfluxDB refused: $1: $status"
}
start_influx() {
  mkdir -p "$data/influxdb"
  cat >"$data/influxdb/influxdb.conf" <<END
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "$data/influxdb/meta"
[data]
dir = "$data/influxdb/data"
wal-dir = "$data/influxdb/wal"
index-version = "tsi1"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:$influx_port"
auth-enabled = true
flux-enabled = true
log-enabled = false
END
  setsid influxd -config "$data/influxdb/influxdb.conf" >"$data/influxdb.log" 2>&1 </dev/null 9>&- &
  echo $! >"$data/influxd.pid"
  await InfluxDB "$influx_port" $! "$data/influxdb.log"
  influx_query "CREATE USER thirdstate WITH PASSWORD '$influx_password' WITH ALL PRIVILEGES"
  influx_query "CREATE DATABASE telemetry"
}

# ---- Mosquitto ---------------------------------------------------------------
start_mosquitto() {
  local folder=$data/mosquitto
  mkdir -p "$folder"
  cp deploy/mosquitto/acl "$folder/acl"
  chmod 600 "$folder/acl"
  sed -e "s|^listener 1883|listener $mqtt_port 127.0.0.1|" -e "s|/mosquitto/data|$folder|" \
    -e "s|/mosquitto/config/acl|$folder/acl|" deploy/mosquitto/mosquitto.conf >"$folder/mosquitto.conf"
  own mosquitto "$folder"
  MQTT_PASSWORD=$mqtt_password PASSWORDS=$folder/passwords CONFIG=$folder/mosquitto.conf \
    setsid sh deploy/mosquitto/start.sh >"$data/mosquitto.log" 2>&1 </dev/null 9>&- &
  echo $! >"$data/mosquitto.pid"
  await Mosquitto "$mqtt_port" $! "$data/mosquitto.log"
}

cluster=$data/postgres
pgbin=$(find_postgres)
mqtt_password=$(secret mosquitto) influx_password=$(secret influxdb)

program=
finish() {
  trap - EXIT INT TERM
  trap '' INT TERM
  if [ -n "$program" ] && kill -TERM "$program" 2>/dev/null; then wait "$program" || true; fi
  end_recorded mosquitto
  end_recorded influxd
  stop_postgres
  say "stopped; what it learned is in $data"
}
trap finish EXIT
trap 'exit 0' INT TERM

# What a killed run left behind.
end_recorded mosquitto
end_recorded influxd
stop_postgres

pg_port=$(free_port) && start_postgres
influx_port=$(free_port) && start_influx
mqtt_port=$(free_port) && start_mosquitto
say "PostgreSQL 127.0.0.1:$pg_port, InfluxDB 127.0.0.1:$influx_port, Mosquitto 127.0.0.1:$mqtt_port, all in $data"

# Passwords go by the environment: arguments are shown to every user of the machine.
export THIRDSTATE_MQTT_LISTEN=
export THIRDSTATE_MQTT_URL=tcp://thirdstate:$mqtt_password@127.0.0.1:$mqtt_port
export THIRDSTATE_INFLUX_URL=http://127.0.0.1:$influx_port
export THIRDSTATE_INFLUX_TOKEN=thirdstate:$influx_password
export THIRDSTATE_INFLUX_ORG=thirdstate
export THIRDSTATE_INFLUX_BUCKET=telemetry
export THIRDSTATE_DATABASE_URL="postgres://thirdstate:$(secret postgres)@127.0.0.1:$pg_port/thirdstate?sslmode=disable"

# In a session of its own, so that Ctrl-C reaches this script alone, which tells it.
setsid "${PROGRAM:-bin/thirdstate}" demo --data "$data/thirdstate" "$@" 9>&- &
program=$!
code=0
wait "$program" || code=$?
program=
exit "$code"
