#!/usr/bin/env bash
# setup.sh NAME... sees to it that the named parts are on this machine:
#   go compiler postgres mosquitto chromium fonts influxd telegraf prometheus tools
# It looks first and installs only what is missing: Debian packages as root or
# through `sudo -n`, Go programs through `go install`. Where it can do neither
# it names every missing part and the command that would bring it, and ends with 1.
set -euo pipefail
cd "$(dirname "$0")/.."

# Tools are pinned here, templ in go.mod (`go tool templ`), so that the generator
# and the library that its output calls are always the same version.
GOLANGCI_LINT=v2.15.0
INFLUXD=v1.8.10 # the newest InfluxDB that `go install` can build; it serves the v2 write and Flux APIs
TELEGRAF=v1.37.2 # the peer of `make versus`, with the parts that it needs there and no others
POSTGRES_MIN=15
GO_MIN=1.26

tools=$PWD/.cache/bin # golangci-lint takes one to five minutes to build, once for a clone
export PATH="$tools:$PATH:/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
some() { [ -e "$1" ]; } # some GLOB: whether any file matches

gobin() {
  local bin
  bin=$(go env GOBIN)
  printf '%s' "${bin:-$(go env GOPATH)/bin}"
}

has_go() {
  have go || return 1
  local version
  version=$(go env GOVERSION)
  [ "$(printf 'go%s\n%s\n' "$GO_MIN" "$version" | sort -V | head -n 1)" = "go$GO_MIN" ]
}
has_compiler() { have gcc || have clang; } # the race detector is linked by a C compiler
has_postgres() {
  local initdb version
  for initdb in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb || true)"; do
    [ -x "$initdb" ] || continue
    version=$("$initdb" --version) || continue
    version=${version##*) }
    [ "${version%%[!0-9]*}" -ge "$POSTGRES_MIN" ] && return 0
  done
  return 1
}
has_mosquitto() { have mosquitto && have mosquitto_pub; }
has_chromium() { have chromium || have chromium-browser || have google-chrome; }
has_fonts() { some /usr/share/fonts/*/noto/NotoSansCJK*; } # Chinese pages in pictures
has_telegraf() { have telegraf || [ -x "$(gobin)/telegraf" ]; }
has_prometheus() { have promtool; } # the peer of `make engines`
has_influxd() { have influxd || [ -x "$(gobin)/influxd" ]; }

# installed BINARY MODULE VERSION: whether $tools holds this very version.
installed() {
  [ -x "$tools/$1" ] && go version -m "$tools/$1" 2>/dev/null |
    awk -v m="$2" -v v="$3" '$1 == "mod" && $2 == m && $3 == v { found = 1 } END { exit !found }'
}
has_tools() { installed golangci-lint github.com/golangci/golangci-lint/v2 "$GOLANGCI_LINT"; }

packages_of() {
  case $1 in
  compiler) echo gcc libc6-dev ;;
  postgres) echo postgresql ;;
  mosquitto) echo mosquitto mosquitto-clients ;;
  chromium) echo chromium chromium-sandbox ;;
  fonts) echo fonts-noto-cjk ;;
  prometheus) echo prometheus ;;
  esac
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
can_install() {
  have apt-get || return 1
  [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

# install_packages brings Debian packages without starting their services: the
# product and its tests start their own. Lists are refreshed only when the
# packages cannot be had with the present ones.
install_packages() {
  local log
  log=$(mktemp)
  say "installing $* (apt-get; a minute or two)"
  if as_root bash scripts/apt-install.sh "$@" >"$log" 2>&1 </dev/null; then
    rm -f "$log"
    return 0
  fi
  tail -n 20 "$log" >&2
  say "apt-get could not install $*; its output is in $log"
  return 1
}

install_go_program() { # install_go_program FOLDER PACKAGE@VERSION [BUILD TAGS]
  say "building ${2##*/} (go install; minutes the first time)"
  # Its own go.mod decides the versions, so no flag of ours may reach it.
  GOBIN="$1" GOFLAGS='' go install -tags "${3-}" "$2" || {
    say "could not build $2; its source comes through the Go module proxy: see the lines above"
    exit 1
  }
}

missing=() packages=()
for name in "$@"; do
  case $name in
  go | compiler | postgres | mosquitto | chromium | fonts | influxd | telegraf | prometheus | tools) ;;
  *) say "unknown part $name" && exit 2 ;;
  esac
  "has_$name" || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0

for name in "${missing[@]}"; do
  if [ "$name" = go ]; then
    say "Go $GO_MIN or newer is missing: install it from https://go.dev/dl/ and put its bin folder into PATH"
    exit 1
  fi
  read -r -a wanted <<<"$(packages_of "$name")"
  packages+=(${wanted[@]+"${wanted[@]}"})
done

if [ ${#packages[@]} -gt 0 ]; then
  if ! can_install; then
    say "missing on this machine: ${missing[*]}"
    if have apt-get; then
      say "not root and no sudo without a password. Ask an administrator for: apt-get install ${packages[*]}"
    else
      say "no apt-get here. Install with your package manager what Debian calls: ${packages[*]}"
    fi
    exit 1
  fi
  install_packages "${packages[@]}"
fi

for name in "${missing[@]}"; do
  case $name in
  influxd) install_go_program "$(gobin)" "github.com/influxdata/influxdb/cmd/influxd@$INFLUXD" ;;
  telegraf) install_go_program "$(gobin)" "github.com/influxdata/telegraf/cmd/telegraf@$TELEGRAF" custom,inputs.mqtt_consumer,outputs.influxdb,parsers.json_v2 ;;
  tools) install_go_program "$tools" "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$GOLANGCI_LINT" ;;
  esac
done

for name in "${missing[@]}"; do
  "has_$name" || { say "$name is still not found after its installation" && exit 1; }
done
