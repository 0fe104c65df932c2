# `make run` and `make test` are all the set-up a machine with Linux, Python 3.11+, git and make needs.
.DEFAULT_GOAL := help
PYTHON_BIN := .venv/bin/python
export OMP_NUM_THREADS = 1
export BUF_CACHE_DIR = $(CURDIR)/.staunch/caches/buf

.PHONY: help run ghz test walk restarts faults soak fuzz mutate check format stubs publish-contract lock schema docs clean

help: ## Lists the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

run: ## Serves on 127.0.0.1:50051; the first run makes database, world and model. Flags: make run ARGS="--port 50052".
	@sh scripts/install run
	@exec .venv/bin/staunch run $(ARGS)

ghz: ## Loads what make run serves, or any server: make ghz ARGS="--server HOST:PORT predict-open"; needs Go once.
	@sh scripts/install run
	@ghz=$$(sh scripts/ghz) && exec $(PYTHON_BIN) -m bench.ghz --ghz "$$ghz" $(ARGS)

test: ## Runs every test but the walks, in less than five minutes. A part: make test ARGS="tests/features -x".
	@sh scripts/install dev
	@$(PYTHON_BIN) -m pytest -q -n 3 --dist loadfile -m "not walk" $(ARGS)

walk: ## Runs the walks, which build, install, start, kill and stop the whole product, by its pages and commands.
	@sh scripts/install dev
	@$(PYTHON_BIN) -m pytest -q -n 3 --dist loadfile -m walk $(ARGS)

restarts: ## Restarts servers behind Envoy ten times and kills their workers, under 20,000 calls; ten minutes.
	@sh scripts/install dev
	@STAUNCH_RESTARTS=$(or $(TIMES),10) $(PYTHON_BIN) -m pytest -q -s -m walk tests/server/process/test_restarts.py $(ARGS)

faults: ## Tries some fifty faults on each transport beside callers whose every answer is checked: make faults ARGS="PostgreSQL".
	@sh scripts/install dev
	@GRPC_VERBOSITY=NONE $(PYTHON_BIN) -m tests.campaigns $(ARGS)

soak: ## Runs a server for ten minutes on each transport, and says whether anything grows: make soak ARGS="--minutes 3".
	@sh scripts/install dev
	@GRPC_VERBOSITY=NONE $(PYTHON_BIN) -m tests.campaigns.soak $(ARGS)

fuzz: ## Sends what nobody would, as messages and as bytes of HTTP/2: make fuzz ARGS="--messages 500 --seed 1".
	@sh scripts/install dev
	@GRPC_VERBOSITY=NONE $(PYTHON_BIN) -m tests.campaigns.fuzz $(ARGS)

mutate: ## Changes a room's code N times, in a copy, and asks its tests: make mutate ROOM=model_store N=100 SEED=1 JOBS=2.
	@sh scripts/install dev
	@$(PYTHON_BIN) -m tools.mutate $(ROOM) $(N) --seed $(or $(SEED),1) --jobs $(or $(JOBS),2) $(ARGS)

check: ## Lints, checks types, the contract, the stubs and the scripts.
	@sh scripts/install dev
	@sh scripts/install stubs
	@sh scripts/check

format: ## Formats Python and protos.
	@sh scripts/install dev
	@.venv/bin/ruff check -q --fix-only .
	@.venv/bin/ruff format -q .
	@.venv/bin/buf format -w

stubs: ## Regenerates the committed stubs from the protos.
	@sh scripts/install stubs
	@sh scripts/generate-stubs client

publish-contract: ## Takes the protos as the contract that is published: what later breaks it, make check refuses.
	@sh scripts/install dev
	@.venv/bin/buf build -o protos/published.binpb

docs: ## Generates the pages of docs/ that come from the code.
	@sh scripts/install dev
	@$(PYTHON_BIN) -m tools.docs_pages docs
	@$(PYTHON_BIN) -m tools.api_page
	@$(PYTHON_BIN) -m tests.cli.pictures.shown

schema: ## Dumps the schema of a migrated database to sql/staunch_sql/schema.sql.
	@sh scripts/install dev
	@$(PYTHON_BIN) -m tools.schema

lock: ## Resolves the locks again (needs uv on PATH, or installs it into .venv-lock).
	@sh scripts/resolve

clean: ## Removes the environments; data and models in .staunch stay.
	rm -rf .venv .venv-stubs .venv-lock
