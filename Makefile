# Two commands do all the set-up on a fresh machine with Go and make:
#   make demo    make test
.DEFAULT_GOAL := help
SHELL := /bin/bash

# Many tests wait more than they compute, so more of them run at a time than there are
# cores. With the settings of the binary's build, nothing is compiled twice. Go does not
# see that tests run the built program, and would show their results of an earlier one.
GOTEST = CGO_ENABLED=0 go test -count=1 -trimpath -parallel 4

.PHONY: help
help: ## list what make can do here
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## build bin/daybook, one static binary
	@CGO_ENABLED=0 go build -trimpath -o bin/daybook ./cmd/daybook

.PHONY: demo
demo: postgres build ## start a generated company on embedded defaults (the first build takes a minute or two)
	@exec ./bin/daybook demo

.PHONY: test
test: postgres ## run all tests (about four minutes on two cores, more on the first run)
	$(GOTEST) -timeout 20m ./...

.PHONY: ci
ci: lint check race numbers conformance fuzz ## what CI runs beside make test (half an hour on two cores that have nothing compiled)

.PHONY: check
check: ## vet, tidy modules, known vulnerabilities
	go vet ./...
	go vet -tags failpoints ./eventstore/log
	go mod tidy -diff
	@bash .ci/vulnerabilities

.PHONY: race
race: postgres ## run the tests of every room under the race detector
	go test -race -short -parallel 4 $$(go list ./domain/... ./eventstore/... ./commands/... ./projections/... ./readapi/... ./cmd/... | grep -v /subscription$$)
	DAYBOOK_TEST_LEVEL=ci go test -race -count=1 -timeout $(TIMEOUT) ./eventstore/subscription

# Everything with a property called TestProperties is an aggregate.
AGGREGATES = $(shell grep -rl --include='*_test.go' '^func TestProperties' domain | xargs -n1 dirname | sort -u | sed 's|^|./|')
# How often and how long: CI's numbers; nightly's are larger.
CHECKS = 10000
LONG = 1000
FUZZ = 180
LEVEL = ci
TIMEOUT = 60m

# Of each kind some compute and some wait, so two kinds go side by side. What is
# measured by the clock needs the machine for itself. Where nobody measures memory,
# collecting garbage less often saves time.
.PHONY: numbers
numbers: ## run the properties and fault tests at CI's numbers
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target numbers-whole numbers-store numbers-domain
	DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) -timeout $(TIMEOUT) -v ./test/load

.PHONY: numbers-domain
numbers-domain: postgres
	GOGC=400 $(GOTEST) $(filter-out ./domain/employee,$(AGGREGATES)) ./commands ./commands/process -timeout $(TIMEOUT) -run '^TestProperties$$|DuplicateDeliveries' -rapid.checks=$(CHECKS) -rapid.steps=200
	@# A list of 200 commands costs an employee, whose every day is checked, 100 ms and more: long lists are fewer here.
	GOGC=400 $(GOTEST) ./domain/employee -timeout $(TIMEOUT) -run '^TestProperties$$' -rapid.checks=$(CHECKS)
	GOGC=400 $(GOTEST) ./domain/employee -timeout $(TIMEOUT) -run '^TestProperties$$' -rapid.checks=$(LONG) -rapid.steps=200
	GOGC=400 $(GOTEST) ./eventstore/log -timeout $(TIMEOUT) -run ClockThatJumps -rapid.checks=1000

# The subscriber's tests run at these numbers under the race detector: see race.
.PHONY: numbers-store
numbers-store: postgres
	GOGC=400 DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) -tags failpoints ./eventstore/log -timeout $(TIMEOUT) -run 'AtAnyStep|ThatForgets'
	GOGC=400 DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) $$(go list ./eventstore/... | grep -vE '/(subscription|node)$$') -timeout $(TIMEOUT)

.PHONY: numbers-whole
numbers-whole: postgres
	DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) ./projections -timeout $(TIMEOUT) -run 'Crowd|ADatabaseThat|BadNetworks'
	DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) ./eventstore/node -timeout $(TIMEOUT) -skip TheClientsOwnSuite
	DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) -timeout $(TIMEOUT) $$(go list ./test/... | grep -v /test/load$$)

.PHONY: conformance
conformance: ## put the node to the official client's own tests and to ours (a minute and a half)
	@bash .ci/conformance

.PHONY: fuzz
fuzz: postgres ## fuzz every decoder, HTTP handler and gRPC method for three minutes in all
	@bash .ci/fuzz $(FUZZ)

.PHONY: nightly
nightly: ## the same with ten times the numbers (hours)
	$(MAKE) ci CHECKS=100000 LONG=10000 FUZZ=1800 LEVEL=nightly TIMEOUT=600m

.PHONY: lint
lint: ## run golangci-lint with the versions of .tools/go.mod
	go tool -modfile=.tools/go.mod golangci-lint run ./...

.PHONY: bench
bench: postgres build peers ## print the figures of the README (about twenty minutes, 6 GB of disk); DATA=FOLDER for the import
	go run ./test/bench -binary bin/daybook -peers bin/peers -data "$(DATA)"

.PHONY: bench-large
bench-large: postgres build ## print memory and starts with ten million events (about six minutes, 10 GB of disk)
	go run ./test/bench -binary bin/daybook -only large -events 10000000

.PHONY: peers
peers: # what the figures are compared with, in a module of its own
	@cd test/bench/peers && go build -o ../../../bin/peers .

.PHONY: postgres
postgres: ## install the Postgres binaries where they are missing
	@bash .ci/postgres
