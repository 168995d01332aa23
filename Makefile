# The commands of this repository; `make help` lists them. The work is in scripts/.

.DEFAULT_GOAL := help
.PHONY: up compose-up down stop services test e2e security check fmt fmt-check clippy deny schema schema-check shellcheck conformance clean help

# A fast linker where the compiler can use one, unless the user's own cargo configuration chose.
# Set here, and the same for every command, so that they all share one set of build artifacts.
ifeq ($(shell grep -s fuse-ld $${CARGO_HOME:-$$HOME/.cargo}/config.toml),)
linker := $(shell for l in mold lld; do echo 'int main(void) { return 0; }' | \
    cc -fuse-ld=$$l -x c - -o /dev/null 2>/dev/null && echo $$l && break; done)
ifneq ($(linker),)
host := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export CARGO_TARGET_$(host)_RUSTFLAGS := -C link-arg=-fuse-ld=$(linker)
endif
endif

# Not on the recipe's line: a shell between would keep signals from the script.
up: export UP_ONCE := $(ONCE)
up: ## Start the whole product with a demo account; Ctrl-C stops it (ONCE=1: stop when all works)
	@scripts/up

compose-up: ## Start everything in containers, built here (Docker Compose)
	@scripts/compose-env
	@docker compose up --build

services: ## Start only PostgreSQL and Redis for development, and print their URLs
	@scripts/services start .data

down: ## Stop PostgreSQL and Redis; their data stay
	@scripts/services stop .data
	@scripts/services stop .data/test
	@scripts/services stop .data/e2e

stop: down ## The same as down

test: ## Run all tests and the GraphQL-over-HTTP audits on services of their own
	@scripts/test

e2e: ## Run the browser tests of the hosted pages (needs node, npm and Chromium; docs/testing.md)
	@scripts/e2e

conformance: ## Run the GraphQL-over-HTTP audits against the api of `make up` (or CRM_URL, CRM_TOKEN)
	@scripts/conformance

check: fmt-check shellcheck schema-check clippy deny ## Run every check that needs no services

fmt: ## Format the code
	@cargo fmt --all

fmt-check: ## Check that the code is formatted
	@cargo fmt --all --check

clippy: ## Lint the code; a warning is an error
	@cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

deny: ## Check licences, banned crates and sources of the dependencies, and advisories where reachable
	@scripts/deny

schema: ## Write schema.graphql anew from the code
	@scripts/schema write

schema-check: ## Check that schema.graphql is what the code says
	@scripts/schema check

security: ## Write migration/security.txt anew from the migrations; review the difference
	@scripts/security

shellcheck: ## Lint the scripts
	@scripts/lint

# Not `cargo clean`: a user's cargo configuration may share one build directory among projects.
clean: ## Stop and delete the development and test data, and this checkout's build
	@scripts/services remove .data/e2e
	@scripts/services remove .data/test
	@scripts/services remove .data
	@rm -rf .data target

help: ## List these targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F '|' '{ printf "  %-13s %s\n", $$1, $$2 }'
