# `make demo` and `make test` are the two commands that a newcomer needs; both
# install what is missing (as root, or with sudo) and say so when they cannot.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL: # go builds and tests in parallel by itself

TOOLS := $(CURDIR)/.cache/bin
# mosquitto and sbin programs are not in an ordinary user's PATH on Debian.
export PATH := $(TOOLS):$(PATH):$(shell go env GOPATH 2>/dev/null)/bin:/usr/local/sbin:/usr/sbin:/sbin
# CI and `make test` never pass over a test because a service is missing.
export REQUIRE_SERVICES := 1

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PACKAGES ?= ./...
# Two packages at a time: some tests start servers of their own. `make check` has
# vetted them, and without tables for debuggers they are linked in half the time.
GOTEST := go test -p 2 -vet=off -ldflags=-s

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: setup-run build ## install what is missing, build, start the whole product with its demo (DATA=folder)
	@exec bin/thirdstate demo $(if $(DATA),--data "$(DATA)") $(ARGS)

demo-real: setup-real build ## the same on a real Mosquitto, InfluxDB and PostgreSQL, as local processes
	@exec scripts/demo-real.sh $(ARGS)

test: setup-test ## install what is missing and run every test (PACKAGES=./rules/... for some)
	$(GOTEST) -race -timeout 20m $(PACKAGES)

test-full: setup-test ## test, with the long fault, fuzz and browser runs
	TEST_FULL=1 $(GOTEST) -race -count=1 -timeout 90m $$(go list $(PACKAGES) | grep -v '/faults$$')
	@# Alone and without the race detector: its figures are those of docs/faults.md (about 2.5 hours).
	faults=$$(go list $(PACKAGES) | grep '/faults$$' || true); [ -z "$$faults" ] || TEST_FULL=1 go test -count=1 -timeout 4h -v $$faults
	scripts/fuzz.sh $(FUZZTIME)

check: setup-check ## format, vet, lint, arrows, generated files and go.mod as they should be
	scripts/check.sh
	go vet ./...
	golangci-lint run ./...
	$(GOTEST) -count=1 ./internal/house/
	$(GOTEST) -count=1 -run '^TestPassword' ./internal/accounts/ # with the race detector a hash is cheap

build: setup-go ## compile bin/thirdstate
	@CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/thirdstate ./cmd/thirdstate

generate: setup-go ## write the Go files of the page templates
	go tool templ generate

bench: setup-run ## the measurements of the README
	go test -run '^$$' -bench . -benchmem $(PACKAGES)

versus: setup-versus build ## the same load and faults on Mosquitto + Telegraf and on us, side by side (about 8 minutes)
	@exec bin/thirdstate bench versus $(ARGS)

engines: setup-engines build ## the same rules on the same rows in our engine and in Prometheus's
	@exec bin/thirdstate bench engines $(ARGS)

screenshots: setup-test ## take the README's pictures again, in Chromium
	go test -tags screenshots -count=1 -timeout 15m -run '^TestScreenshots$$' ./cmd/thirdstate

clean: ## remove what was built (the demo's data stay)
	rm -rf bin .cache

setup-go:    ; @scripts/setup.sh go
setup-run:   ; @scripts/setup.sh go postgres
setup-real:  ; @scripts/setup.sh go postgres mosquitto influxd
setup-versus: ; @scripts/setup.sh go postgres mosquitto influxd telegraf
setup-engines: ; @scripts/setup.sh go prometheus
setup-test:  ; @scripts/setup.sh go compiler postgres mosquitto influxd chromium fonts
setup-check: ; @scripts/setup.sh go tools

.PHONY: help demo demo-real test test-full check build generate bench versus engines screenshots clean \
	setup-go setup-run setup-real setup-versus setup-engines setup-test setup-check
