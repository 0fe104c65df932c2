# `make run` and `make test` are all the set-up a machine with Linux, Python 3.11+, git and make needs.
.DEFAULT_GOAL := help
PYTHON_BIN := .venv/bin/python
export OMP_NUM_THREADS = 1

.PHONY: help run test check format stubs lock schema docs clean

help: ## Lists the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: ## Serves on 127.0.0.1:50051; the first run makes database, world and model. Flags: make run ARGS="--port 50052".
	@sh requirements/install run
	@exec .venv/bin/staunch run $(ARGS)

test: ## Runs every test. A part: make test ARGS="tests/features -x".
	@sh requirements/install dev
	@$(PYTHON_BIN) -m pytest -q -n 2 --dist loadfile $(ARGS)

check: ## Lints, checks types, the contract, the stubs and the scripts.
	@sh requirements/install dev
	@sh requirements/install stubs
	@sh requirements/check

format: ## Formats Python and protos.
	@sh requirements/install dev
	@.venv/bin/ruff check -q --fix-only .
	@.venv/bin/ruff format -q .
	@.venv/bin/buf format -w

stubs: ## Regenerates the committed stubs from the protos.
	@sh requirements/install stubs
	@sh requirements/generate-stubs client

docs: ## Generates the pages of docs/ that come from the code.
	@sh requirements/install dev
	@$(PYTHON_BIN) -m staunch_server.reference docs
	@$(PYTHON_BIN) docs/api_page.py
	@$(PYTHON_BIN) -m staunch_features.features_page docs/features.md

schema: ## Dumps the schema of a migrated database to sql/staunch_sql/schema.sql.
	@sh requirements/install dev
	@$(PYTHON_BIN) -m staunch_features.dump_schema

lock: ## Resolves the locks again (needs uv on PATH, or installs it into .venv-lock).
	@sh requirements/resolve

clean: ## Removes the environments; data and models in .staunch stay.
	rm -rf .venv .venv-stubs .venv-lock
