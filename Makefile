# Two commands do all the set-up: make run, and make test (as root on Debian, it
# installs what the tests need; elsewhere it says what is missing).
tool := go tool -modfile=tools.mod
fuzz ?= 5
soak ?= 600
testflags ?=
listen ?= 127.0.0.1:3260

.PHONY: build run deps test lint bench soak dist

build:
	go build -o bin/spindle ./cmd/spindle

run: build
	@./bin/spindle serve --sample --listen $(listen)

deps:
	hack/deps

test:
	@if [ "$$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then hack/deps || hack/deps --check; else hack/deps --check; fi
	go run ./hack/gotest -race -vet=off -timeout 20m $(testflags) ./... ./testdata/fixture
	go run ./hack/gotest -vet=off -run 'Allocations|Idle|LeaveNothing' ./target/iscsi
	go run ./hack/gotest -vet=off ./target/gotgt
	hack/fuzz $(fuzz)

lint:
	@unformatted=$$($(tool) gofumpt -l .) && if [ -n "$$unformatted" ]; then \
		echo "not formatted (remedy: $(tool) gofumpt -w .):"; echo "$$unformatted"; exit 1; fi
	go vet ./... ./testdata/fixture
	$(tool) staticcheck ./... ./testdata/fixture
	go fix -diff ./... ./testdata/fixture

# The code's own benchmarks, then the comparison with tgtd in interleaved pairs:
# cells, sessions, logins, a storm of boots; docs/performance.md says what was seen.
bench:
	go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -v internal/bench)
	go test -run '^$$' -bench . -benchtime 1x -v -timeout 30m ./internal/bench

# Long fuzzing, and tests that last as long as SPINDLE_SOAK lets them.
soak:
	SPINDLE_SOAK=1 go test -race -run 'Soak|Storm' -count=1 -timeout 4h ./...
	hack/fuzz $(soak)

# Static programs for the boards that become USB drives, and for servers.
dist:
	@mkdir -p dist
	@set -e; for target in amd64: arm64: arm:7 arm:6; do \
		arch=$${target%%:*}; arm=$${target#*:}; out=dist/spindle-linux-$$arch$${arm:+v$$arm}; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch GOARM=$$arm go build -trimpath -ldflags='-s -w' -o $$out ./cmd/spindle; \
		echo $$out; done
