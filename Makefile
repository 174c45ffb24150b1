# Two commands do all the set-up on a fresh machine with Go and make:
#   make demo    make test
.DEFAULT_GOAL := help
SHELL := /bin/bash

# All is compiled as the binary is, so that nothing is compiled twice.
export CGO_ENABLED = 0
export GOFLAGS := $(filter-out -trimpath,$(shell go env GOFLAGS)) -trimpath

# Many tests wait more than they compute, so more of them run at a time than there are
# cores. Go does not see that tests run the built program, and would show their results
# of an earlier one.
GOTEST = go test -count=1 -parallel 4

.PHONY: help
help: ## list what make can do here
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## build bin/daybook, one static binary
	@go build -o bin/daybook ./cmd/daybook

.PHONY: demo
demo: postgres build ## start a generated company on embedded defaults (the first build takes a minute or two)
	@exec ./bin/daybook demo

.PHONY: test
test: postgres ## run all tests (about four minutes on two cores, more on the first run)
	$(GOTEST) -timeout 20m ./...

# Of what CI runs some computes and some waits, so two targets go side by side, first those
# that do not keep two cores busy. Postgres is there: else all that need it would come last.
# What is measured by the clock needs the machine for itself.
BESIDE = $(MAKE) --no-print-directory --old-file=postgres --jobs=2 --output-sync=target
NUMBERS = numbers-domain numbers-store numbers-whole

.PHONY: ci
ci: postgres ## what CI runs beside make test
	@$(BESIDE) race fuzz conformance lint check $(NUMBERS)
	@$(MAKE) --no-print-directory numbers-load

.PHONY: check
check: ## vet, tidy modules, known vulnerabilities
	go vet ./...
	go vet -tags failpoints ./eventstore/log
	go mod tidy -diff
	@bash .ci/vulnerabilities

# The domain and proofs are functions of what they are given, and run under it where they are
# used. The tests of cmd/daybook run the built program, of which it would see nothing. Controls
# with a planted bug prove a test, not the code, and what does one thing after another shows it
# nothing. Watermill's suite is whole under it at night.
UNRACED = ThenItShows$$|ThenPowerCutsLose$$|CommitsItsPlaceApart$$|NotLinearizableIsFound$$|WouldFillTheMemory$$|DoublesWhatIsSentAnew$$|$\
	PowerCutsThenNothing|RouteAndRoleIsDeclared$$|TestTheDocument|TheRouteTableIs|ADamagedIndex|TestDamage|AFlipInTheLast
RACING = ./eventstore ./eventstore/log ./eventstore/migration ./eventstore/node ./eventstore/seal ./eventstore/subscription ./commands/... ./projections/... ./readapi/...

.PHONY: race
race: postgres ## run the tests of the rooms that do several things at once under the race detector
	CGO_ENABLED=1 go test -race -short -parallel 4 -skip '$(UNRACED)' $(RACING)
ifeq ($(LEVEL),nightly)
	CGO_ENABLED=1 DAYBOOK_TEST_LEVEL=ci go test -race -timeout $(TIMEOUT) ./eventstore/subscription
endif

# Everything with a property called TestProperties is an aggregate.
AGGREGATES = $(shell grep -rl --include='*_test.go' '^func TestProperties' domain | xargs -n1 dirname | sort -u | sed 's|^|./|')
# How often and how long: CI's numbers; nightly's are larger.
CHECKS = 10000
LONG = 1000
FUZZ = 180
LEVEL = ci
TIMEOUT = 60m

.PHONY: numbers
numbers: postgres ## run the properties and fault tests at CI's numbers
	@$(BESIDE) $(NUMBERS)
	@$(MAKE) --no-print-directory numbers-load

.PHONY: numbers-load
numbers-load: postgres
	DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) -timeout $(TIMEOUT) -v -run FiveTimes ./test/load

# Where nobody measures memory, collecting garbage less often saves time.
.PHONY: numbers-domain
numbers-domain: postgres
	GOGC=400 $(GOTEST) $(filter-out ./domain/employee,$(AGGREGATES)) ./commands ./commands/process -timeout $(TIMEOUT) -run '^TestProperties$$|DuplicateDeliveries' -rapid.checks=$(CHECKS) -rapid.steps=200
	@# A list of 200 commands costs an employee, whose every day is checked, 100 ms and more: long lists are fewer here.
	GOGC=400 $(GOTEST) ./domain/employee -timeout $(TIMEOUT) -run '^TestProperties$$' -rapid.checks=$(CHECKS)
	GOGC=400 $(GOTEST) ./domain/employee -timeout $(TIMEOUT) -run '^TestProperties$$' -rapid.checks=$(LONG) -rapid.steps=200
	GOGC=400 $(GOTEST) ./eventstore/log -timeout $(TIMEOUT) -run ClockThatJumps -rapid.checks=1000

# Tests that do more at a higher level are in files that name it. The client's own suite
# runs with conformance.
LEVELLED = $(shell grep -rlE --include='*_test.go' 'level\.(Of|Few)|program\.Level' eventstore projections test | xargs sed -nE 's/^func (Test[A-Za-z0-9]+).*/\1/p' | sort -u | paste -sd'|' -)
MORE = DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) -timeout $(TIMEOUT) -run '^($(LEVELLED))$$' -skip TheClientsOwnSuite

.PHONY: numbers-store
numbers-store: postgres
	GOGC=400 DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) -tags failpoints ./eventstore/log -timeout $(TIMEOUT) -run 'AtAnyStep|ThatForgets'
	@GOGC=400 $(MORE) ./eventstore ./eventstore/log ./eventstore/migration ./eventstore/subscription

.PHONY: numbers-whole
numbers-whole: postgres
	@$(MORE) ./projections
	@$(MORE) ./eventstore/node
	@$(MORE) ./test/api ./test/crash
	DAYBOOK_TEST_LEVEL=$(LEVEL) $(GOTEST) -timeout $(TIMEOUT) -skip FiveTimes ./test/load

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
