#!/usr/bin/env bash
# fuzz.sh [TIME] runs every fuzz target of the module for TIME (30s) each.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-30s}
for package in $(go list ./...); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    echo "fuzz $package $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "$package"
  done
done
