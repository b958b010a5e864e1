# Bare `make` lists the targets. Every target sets up what it needs first.
# CGO_ENABLED=0 in front of any of them makes the portable build.

GO         ?= go
FUZZTIME   ?= 30s
BENCH      ?= .
DEMO_FLAGS ?=

# What shares memory between goroutines runs under the race detector, everything
# else without, for speed.
CONCURRENT := ./stages ./batcher ./shards ./ingest ./trainer ./gpu/host
RACE       := $(if $(filter 0,$(CGO_ENABLED)),,-race) # the detector is C

.DEFAULT_GOAL := help
.PHONY: help setup build run test lint fuzz bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the libraries that the default build needs, fetch the modules
	@tools/setup

build: setup ## build bin/shardify and bin/pipe
	$(GO) build -buildvcs=false -o bin/ ./cmd/...

run: build ## train, evaluate and explain on generated pictures (DEMO_FLAGS=--short for a quick one)
	bin/pipe demo $(DEMO_FLAGS)

test: setup ## gofmt, vet and all tests, racing where concurrent, and the portable build
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w" $$unformatted; exit 1; }
	$(GO) vet ./...
	$(GO) test $$($(GO) list ./... | grep -vxF "$$($(GO) list $(CONCURRENT))")
	$(GO) test $(RACE) $(CONCURRENT)
	CGO_ENABLED=0 $(GO) vet ./...
	CGO_ENABLED=0 $(GO) test $$(CGO_ENABLED=1 $(GO) list -f '{{if .CgoFiles}}{{.ImportPath}}{{end}}' ./...)

lint: setup ## staticcheck, at the version of tools/go.mod
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

fuzz: setup ## run every fuzz target for FUZZTIME each (30s)
	@list=$$($(GO) test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { f[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, f[i]; n = 0 }' | \
	while read -r pkg name; do \
		echo "fuzz $$pkg $$name for $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null || exit 1; \
	done

bench: setup ## run the benchmarks whose name matches BENCH (all)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

clean: ## remove bin/; data sets and runs are yours
	rm -rf bin
