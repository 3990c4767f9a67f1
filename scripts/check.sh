#!/usr/bin/env bash
# The checks that no test or linter makes: formatting, and files that are
# derived from others are as their sources say.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -co --exclude-standard -- '*.go' ':!*_templ.go' | xargs -r -d '\n' gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not formatted (gofmt -w):\n%s\n' "$unformatted" >&2
  exit 1
fi

generated() { git ls-files -co --exclude-standard -- '*_templ.go' | sort | xargs -r -d '\n' sha256sum; }
before=$(generated)
go tool templ generate -log-level error
if [ "$before" != "$(generated)" ]; then
  echo "generated files were behind their templates; they are written now: commit them" >&2
  exit 1
fi

go mod tidy -diff || { echo "go.mod is not tidy: run go mod tidy" >&2; exit 1; }
