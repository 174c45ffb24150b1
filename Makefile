# Two commands do all the set-up on a fresh machine with Go and make:
#   make demo    make test
.DEFAULT_GOAL := help
SHELL := /bin/bash

.PHONY: help
help: ## list what make can do here
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## build bin/daybook, one static binary
	@CGO_ENABLED=0 go build -trimpath -o bin/daybook ./cmd/daybook

.PHONY: demo
demo: postgres build ## start a generated company on embedded defaults (the first build takes a minute or two)
	@exec ./bin/daybook demo

.PHONY: test
test: postgres ## run all tests (under five minutes on two cores)
	go test ./...

.PHONY: ci
ci: lint ## what CI runs beside make test: vet, linter, race detector, fault tests at their CI numbers
	go vet ./...
	go test -race -short ./domain/... ./eventstore/... ./commands/... ./projections/... ./readapi/... ./cmd/...
	DAYBOOK_TEST_LEVEL=ci go test -count=1 -timeout 20m ./test/...

.PHONY: lint
lint: ## run golangci-lint with the versions of .tools/go.mod
	go tool -modfile=.tools/go.mod golangci-lint run ./...

.PHONY: bench
bench: postgres build ## print the figures of the README (about five minutes); DATA=FOLDER for the import
	go run ./test/bench -binary bin/daybook -data "$(DATA)"

.PHONY: postgres
postgres: ## install the Postgres binaries where they are missing
	@bash .ci/postgres
