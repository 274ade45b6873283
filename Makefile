# Run `make help` for the targets.
GO ?= go
FUZZINPUTS ?= 2000x

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the command as ./holdfast
	CGO_ENABLED=0 $(GO) build -trimpath -o holdfast ./cmd/holdfast

.PHONY: deps
deps: ## install the tools that tests use (apt, as root); without root, say which are missing
	@sh internal/scripts/deps.sh

.PHONY: test
test: deps vet race plain seeds costs fuzz-short cross end-to-end stress ## all tests

.PHONY: vet
vet:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

.PHONY: test-s3
test-s3: ## the S3 tests with MinIO as well, which is built first: minutes
	@sh internal/scripts/minio.sh

# Packages without goroutines of ours, the benchmarks' own, and long tests whose goroutines shorter ones run, too: the race detector would see little there, and takes up to ten times as long.
PLAIN = /internal/protocol$$|/internal/specreader$$|/bench/compare$$|/bench/corpus$$|/bench/scale$$|/holdfast/chunk$$
LONG = TestCorruptionSweep|TestEveryFlippedByteIsFound|TestPacksOfTinyChunks|TestSplitDependsOnBytesAlone|TestSpliceReadsLittle

.PHONY: race
race: ## unit, property, conformance and command tests under the race detector
	$(GO) test -race -timeout 20m -skip '$(LONG)' $$($(GO) list ./... | grep -vE '$(PLAIN)')

.PHONY: plain
plain: ## the tests that the race detector has nothing to see in, the model of the protocol and its weakened variants among them
	$(GO) test $$($(GO) list ./... | grep -E '$(PLAIN)')
	$(GO) test -run '$(LONG)' ./repo ./snapshot

.PHONY: model
model: ## explore the model of the protocol, and its weakened variants
	$(GO) test ./internal/protocol

.PHONY: fuzz-short
fuzz-short: ## each fuzzer for FUZZINPUTS inputs
	@sh internal/scripts/fuzz.sh $(FUZZINPUTS)

.PHONY: fuzz
fuzz: ## each fuzzer for a million inputs
	@sh internal/scripts/fuzz.sh 1000000x

.PHONY: cross
cross: ## build for every platform
	@sh internal/scripts/cross.sh

.PHONY: end-to-end
end-to-end: build ## back up, restore and compare real input
	@bash internal/scripts/end-to-end.sh

.PHONY: stress
stress: build ## many processes on one repository for STRESSTIME, killed now and then; in the end everything is there
	$(GO) run ./bench/stress -holdfast ./holdfast -time $${STRESSTIME:-1m} -kill 300ms

.PHONY: soak
soak: ## the long runs: kill -9 loops and random trees, until it fails or SOAKTIME is over; a tree of SOAKFILES files in SOAKDIR
	SOAKTIME=$${SOAKTIME:-10m} $(GO) test -run Soak -timeout 0 ./...
	SOAKTIME=$${SOAKTIME:-10m} $(GO) test -timeout 0 ./internal/protocol
	$(MAKE) stress STRESSTIME=$${SOAKTIME:-10m}
	HOLDFAST_TREES=/usr $(MAKE) end-to-end

.PHONY: seeds
seeds: ## writers, collectors and readers whose calls fail and who die, by SEEDS seeds, and in a simulation by twice SIMULATIONS seeds
	$(GO) test ./repo -run TestChaos -count 1 -seeds $${SEEDS:-100}
	@sh internal/scripts/simulate.sh $${SIMULATIONS:-60}

.PHONY: costs
costs: ## what a backup, a restore and a check may cost, but for time
	CGO_ENABLED=0 $(GO) test -trimpath -count 1 ./bench/costs

.PHONY: bench
bench: ## Go benchmarks, ten runs, ready for benchstat
	@$(GO) test -run '^$$' -bench . -benchmem -count 10 -timeout 0 ./...

.PHONY: bench-guard
bench-guard: ## compare the benchmarks with those of BASE, here and now
	@bash internal/scripts/bench-guard.sh

.PHONY: bench-deps
bench-deps: ## install what bench/compare can compare with, and what bench/corpus needs (apt, as root)
	@sh internal/scripts/deps.sh restic borgbackup debootstrap e2fsprogs postgresql

.PHONY: demo
demo: ## the README's first command
	@sh internal/scripts/demo.sh

.PHONY: scale
scale: ## what things cost as a repository grows, up to 10^8 chunks: minutes, 7 GB in SCALEWORK
	$(GO) run ./bench/scale -work $${SCALEWORK:-/var/tmp} -chunks 1e5,1e6,1e7,1e8 -json docs/scale.json -svg docs/scale.svg
