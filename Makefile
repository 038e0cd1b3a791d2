# Everything runs in .venv, which the first target sets up; it needs python3 >= 3.11 with venv. `.venv/running` is what
# hybridloop itself needs, `.venv/ready` also what tests, checks and docs need.
PYTHON ?= python3
BIN := .venv/bin
# uv takes a fifth of pip's time. It does not read pip's configuration: it gets the index from there, and where it fails,
# such as behind a proxy that only pip is set up for, pip takes over. The index may hold a password: it is no argument.
install = index=$$($(BIN)/pip config list | sed -n "s/.*[.]index-url='\(.*\)'/\1/p" | tail -n 1); \
	[ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"; \
	$(BIN)/uv pip install -q -p $(or $(2),$(BIN)/python) -c constraints.txt $(1) || \
	$(or $(2),$(BIN)/python) -m pip install -qq --no-compile --disable-pip-version-check -c constraints.txt $(1)
# Python 3.11 reads the file that leads to the checkout in the locale's encoding, which may not have the letters of its path.
relative = cd .venv/lib/python3*/site-packages && for file in *hybridloop.pth; do echo ../../../.. > $$file; done
# The installers compile nothing: a process that may write it compiles what a run and the local stack import, and us.
OF_A_RUN = anyio._backends._asyncio azure.quantum azure.storage.blob hybridloop.api.algorithms hybridloop.api.hosts \
	hybridloop.cli.commands.run hybridloop.emulator.server hybridloop.flows.algorithms hybridloop.preparation.qaoa \
	hybridloop.preparation.vqe hybridloop.tasks.session prefect.flow_engine prefect.server.api.server \
	prefect.task_engine prefect.utilities.visualization qiskit.transpiler.passes.synthesis.hls_plugins
compile = $(BIN)/python -m compileall -q hybridloop && \
	$(BIN)/python -c 'import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]' $(OF_A_RUN)
# Tests of the second ring often wait: it has more workers than cores. Each has one thread for linear algebra. The order
# of files is random, so that none relies on another; --random-order-seed repeats one.
TWINE = twine==7.0.0 # reads the metadata that the build backend writes
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest --dist loadfile --no-loadscope-reorder --random-order-bucket=module
# The environment of other libraries lies outside the checkout, so that they cannot be imported by mistake.
PEERS ?= $(HOME)/.cache/hybridloop/peers
QEDC ?= $(HOME)/.cache/hybridloop/qedc

# That of libraries that run in sessions has this checkout too, so it lies in it.
LIBRARIES ?= build/libraries

AUDIT ?= $(HOME)/.cache/hybridloop/audit
# Environments with other versions of Prefect, by version.
PREFECTS ?= $(HOME)/.cache/hybridloop/prefect
# Which runs `make test-anywhere` makes.
RUN ?= all

# Where it is set, as in many containers, every process would compile all that it imports again: some seconds each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-anywhere coverage test-browser test-long test-prefect test-libraries chaos soak check wheel docs reference pictures bench bench-growth bench-circuits bench-circuits-peers bench-shots bench-noise bench-loop bench-loop-peers bench-peers bench-qedc figures audit clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

demo: .venv/running ## run a VQE of H2 in a session of the local service
	$(BIN)/hybridloop run vqe h2 --search measured --seed 7

test: .venv/ready ## test every claim in a cheap form
	$(PYTEST) -n 2 -m claim

test-all: test ## run also all other tests: properties, expensive forms, browsers, databases
	$(PYTEST) -n 4 -m "not claim"

test-anywhere: .venv/ready ## run the first ring under other conditions: RUN=1 to 4, today or all (an hour)
	@$(BIN)/python -m tests.anywhere $(RUN)

coverage: .venv/ready ## run both, and show the branches that no test takes, in build/coverage
	@$(BIN)/coverage erase
	$(subst pytest,coverage run -m pytest,$(PYTEST)) -n 2 -m "claim or not slow"
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --format=total --fail-under=88
	$(subst pytest,coverage run -m pytest,$(PYTEST)) -n 3 -m "slow and not claim"
	@$(BIN)/coverage combine --quiet --append
	@$(BIN)/coverage html --quiet --directory=build/coverage
	@$(BIN)/coverage report --format=total --fail-under=96

test-browser: .venv/ready ## run the tests of the portal and of reports in a real Chromium
	$(BIN)/pytest -m browser

test-long: .venv/ready ## run the long forms of tests: random walks, fuzzing, crashes
	HYBRIDLOOP_TESTS=long $(BIN)/pytest -m long_form --ignore tests/chaos

test-prefect: $(PREFECTS)/$(PREFECT)/ready ## run the tests that need Prefect on another version of it: make test-prefect PREFECT=3.9.0
	$(PREFECTS)/$(PREFECT)/bin/pytest tests/flows tests/deployments tests/local_stack tests/tasks/test_prefect_tasks.py \
		tests/test_blocks.py tests/test_prefect_pins.py

$(PREFECTS)/%/ready: pyproject.toml constraints.txt
	@test -n "$(PREFECT)" || { echo "name the version: make test-prefect PREFECT=3.9.0"; exit 1; }
	@echo "setting up $(@D)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(@D)/bin/pip install -qq --disable-pip-version-check prefect==$*
	-@$(@D)/bin/pip check
	@touch $@

test-libraries: $(LIBRARIES)/ready ## run circuits and algorithms of other libraries in sessions, in a separate environment
	OMP_NUM_THREADS=1 $(LIBRARIES)/bin/pytest tests/libraries

$(LIBRARIES)/ready: benchmarks/libraries.txt pyproject.toml constraints.txt | .venv/running
	@echo "setting up $(LIBRARIES)"
	@$(PYTHON) -m venv $(LIBRARIES)
	@$(call install,-e '.[dev]' -r benchmarks/libraries.txt,$(LIBRARIES)/bin/python)
	@touch $@

chaos: .venv/ready ## kill and pause runs by the hundred, with full disks and locked files (an hour)
	HYBRIDLOOP_TESTS=long $(BIN)/pytest tests/chaos tests/cli/test_prefect_away.py

soak: .venv/ready ## half an hour of runs on a service with faults, then a sweep whose workers and database are killed
	@$(BIN)/python -m benchmarks.soak --minutes 30
	HYBRIDLOOP_TESTS=long $(BIN)/pytest tests/flows/sweep_execution/test_sweep_on_workers.py

check: .venv/ready ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

wheel: .venv/ready ## build the wheel, in dist, and check what an index shows of it
	@$(BIN)/python -m hatchling build --target wheel
	@$(BIN)/uv --quiet tool run --from $(TWINE) twine check --strict dist/*.whl

docs: .venv/ready ## build the site of the guides and the reference, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/site/index.html; to view it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site"

reference: .venv/ready ## write the reference pages of settings and commands again, from the code
	@$(BIN)/python -m docs._reference

pictures: .venv/ready ## make the pictures of the README and the outputs of the notebooks again, from real runs
	@$(BIN)/python -m docs._pictures
	@$(BIN)/python -m docs._execute

bench: .venv/ready ## run the benchmarks and compare their figures with the bounds
	@missed=0; for name in startup submission far replay many_runs service live orchestration sweep accuracy; do \
		echo "# benchmarks.$$name"; $(BIN)/python -m "benchmarks.$$name" || missed=1; done; exit $$missed

bench-growth: .venv/ready ## draw how time and memory grow with jobs, rounds, runs and points (ten minutes)
	@$(BIN)/python -m benchmarks.growth --output docs/images

bench-circuits: .venv/ready ## plan the circuit that a VQE chooses, beside UCCSD: gates, shots, prices
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.circuits

bench-circuits-peers: .venv/ready $(PEERS)/ready ## count tequila's gates again, and store them (three minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.circuits --peers $(PEERS)/bin/python

bench-shots: .venv/ready ## compare ways to measure an energy, by shots, gates, price and noise
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.shots

bench-noise: .venv/ready ## draw intervals of energies on noisy machines: how often they hold, how wide (20 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.noise

bench-loop: .venv/ready ## search angles by measurements alone, beside the stored runs of other libraries
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.loop

bench-loop-peers: .venv/ready $(PEERS)/ready ## run the other libraries' searches again, and store them (half an hour)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.loop --peers $(PEERS)/bin/python

bench-qedc: .venv/ready $(QEDC)/ready ## run QED-C's instances of max-cut and hydrogen chains, from its package
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.qedc $(QEDC)/qedcbench

$(QEDC)/ready:
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --target $(QEDC) qedcbench==2.0.8
	@touch $@

bench-peers: .venv/ready $(PEERS)/ready ## compare with other libraries, in a separate environment
	@OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m benchmarks.sqd --python $(PEERS)/bin/python

$(PEERS)/ready: benchmarks/peers.txt
	@echo "setting up $(PEERS)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/pip install -qq --disable-pip-version-check -r benchmarks/peers.txt
	@touch $@

figures: .venv/ready ## count lines, words, files and circles of imports, and follow one setting through a run
	@$(BIN)/python -m benchmarks.figures

audit: .venv/ready ## look the pinned dependencies up in a database of vulnerabilities (needs access to pypi.org)
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/pip install -qq --disable-pip-version-check pip-audit
	$(AUDIT)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

clean: ## stop the local stack, remove the environment and all caches
	@if [ -x $(BIN)/hybridloop ]; then $(BIN)/hybridloop down; fi
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find hybridloop tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/running: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hybridloop needs Python 3.11 or later; choose one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) has no venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "setting up .venv (about a third of a minute, and the downloads)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --no-compile --disable-pip-version-check -c constraints.txt uv
	@$(call install,-e .)
	@$(relative)
	-@$(compile)
	@touch $@

.venv/ready: .venv/running
	@echo "setting up what tests and checks need"
	@$(call install,-e '.[dev]')
	@$(relative)
	@touch $@
