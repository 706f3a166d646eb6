# gfedge: `make run` starts the server, `make test` runs the tests. Only Python 3.11+ and make are needed.
#
#   make run ARGS="--port 9000"     make test ARGS="-k trace -x"     make run PYTHON=/opt/python3.12/bin/python3

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTHON ?=

# Two stamps say what .venv holds: a second `make run` compares three times of files and starts.
RUN_STAMP := $(VENV)/.run-installed
DEV_STAMP := $(VENV)/.dev-installed
RAY_STAMP := $(VENV)/.ray-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --progress-bar off
INSTALL_SELF = $(PIP) --no-deps --config-settings editable_mode=compat --no-build-isolation --no-index --editable .
CUDA ?=
FLOOR ?=
BINARY := binary$(if $(CUDA),-cuda)$(if $(FLOOR),-floor)
BUILT := gfedge$(if $(CUDA),-cuda)
UV_VERSION := 0.13.9
COMPILE_HERE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)-lock/bin/uv pip compile --quiet \
	--generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11
COMPILE_ALONE := $(COMPILE_HERE) --universal
COMPILE := $(COMPILE_ALONE) pyproject.toml --group build

.PHONY: help run test check format lock bench soak vastai train mlflow wandb lightning peers sprites ray dist sbom binary lint reference clean

help: ## what can be made
	@echo 'gfedge: make TARGET [ARGS="..."] [PYTHON=...]'
	@sed -n 's/^\([a-z][a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-11s %s\n", $$1, $$2 }'

run: $(RUN_STAMP) ## install what is missing into .venv and start the server (ARGS="--port 9000")
	@exec $(BIN)/gfedge serve $(ARGS)

test: $(DEV_STAMP) ## run the tests (ARGS="-k trace -x")
	@$(BIN)/python -m pytest $(ARGS)

check: $(DEV_STAMP) ## format, lint, types and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV_STAMP) ## put the code into its format and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What LONG=1 adds to some of them, for docs/figures.md: an hour and a half more.
LONG_tracking = --full
LONG_mlflow = --long
LONG_hot_swap = --requests 10000
LONG_soak = --minutes 60 --fill 20000
MEASURED = $(if $(BENCH),$(BENCH),$(basename $(notdir $(shell grep -l 'parse_args()' bench/*.py))))

bench: $(DEV_STAMP) ## every measurement in bench/, then all tables (LONG=1 as in docs/figures.md, BENCH=soak ARGS="--minutes 60" for one)
	@set -e; $(foreach name,$(MEASURED),echo "== $(name)"; $(BIN)/python bench/$(name).py $(if $(LONG),$(LONG_$(name))) $(ARGS);)
	@if [ -z '$(BENCH)' ]; then $(BIN)/python bench/table.py; fi

soak: $(DEV_STAMP) ## the long proofs: 200 rounds of kill -9 (ROUNDS=20 for fewer), every edge of every schema, the slow pages, the binary in an empty root
	@GFEDGE_KILL_ROUNDS=$(or $(ROUNDS),200) $(BIN)/python -m pytest tests/test_crash.py $(ARGS)
	@GFEDGE_FUZZ=50 $(BIN)/python -m pytest tests/test_schemathesis.py $(ARGS)
	@GFEDGE_SLOW=1 $(BIN)/python -m pytest tests/test_commands.py tests/test_shipping.py $(ARGS)
	@GFEDGE_TWINS=500 $(BIN)/python -m pytest tests/test_mlflow_twin.py $(ARGS)
	@GFEDGE_LARGE=1 $(BIN)/python -m pytest tests/test_mlflow_clients.py -k large -s $(ARGS)

vastai: $(VENV)-vastai/.installed ## put the vastai SDK into .venv-vastai, to rent machines for training (and to test that)
	@echo 'GFEDGE_VAST_PYTHON=$(CURDIR)/$(VENV)-vastai/bin/python'

$(VENV)-vastai/.installed: requirements-vastai.lock | $(VENV)/bin/python
	@$(BIN)/python -m venv --clear $(VENV)-vastai
	@$(VENV)-vastai/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $<
	@touch $@

train: $(VENV)-train/.installed ## put torch into .venv-train, which trains sprite generators (the build that pip's index has)
	@echo 'GFEDGE_TRAIN_PYTHON=$(CURDIR)/$(VENV)-train/bin/python'

$(VENV)-train/.installed: requirements-cpu.lock requirements-train.lock requirements-train.in | $(VENV)/bin/python
	@$(BIN)/python -m venv --clear $(VENV)-train
	@$(VENV)-train/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off --require-hashes \
	  --requirement requirements-cpu.lock --requirement requirements-train.lock
	@$(VENV)-train/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off --requirement requirements-train.in
	@touch $@

mlflow: $(VENV)-mlflow/.installed ## put MLflow into .venv-mlflow, whose client and server the tests ask (960 MB)

$(VENV)-mlflow/.installed: requirements-mlflow.lock | $(VENV)/bin/python
	@$(BIN)/python -m venv --clear $(VENV)-mlflow
	@$(VENV)-mlflow/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off --require-hashes --requirement $<
	@touch $@

wandb: $(VENV)-wandb/.installed ## put the package of Weights & Biases into .venv-wandb, which `gfedge import wandb` reads runs with
	@echo 'gfedge import wandb FOLDER --python $(CURDIR)/$(VENV)-wandb/bin/python'

$(VENV)-wandb/.installed: requirements-wandb.lock | $(VENV)/bin/python
	@$(BIN)/python -m venv --clear $(VENV)-wandb
	@$(VENV)-wandb/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off --require-hashes --requirement $<
	@touch $@

lightning: $(VENV)-mlflow/.lightning ## put PyTorch and Lightning beside MLflow, whose autologging of them the tests try

$(VENV)-mlflow/.lightning: requirements-lightning.lock $(VENV)-mlflow/.installed
	@$(VENV)-mlflow/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off 'torch>=2.6'
	@$(VENV)-mlflow/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off --no-deps --require-hashes --requirement $<
	@touch $@

sprites: $(VENV)-sprites/.installed ## put what draws SVGs into .venv-sprites, to make the art behind the sprite models (tools/sprites/README.md)

$(VENV)-sprites/.installed: requirements-sprites.lock | $(VENV)/bin/python
	@$(BIN)/python -m venv --clear $(VENV)-sprites
	@$(VENV)-sprites/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $<
	@touch $@

peers: $(VENV)-peers/.installed ## put LitServe and BentoML into .venv-peers, which bench/peers.py holds upscaling against (430 MB)

$(VENV)-peers/.installed: requirements-cpu.lock requirements-peers.lock | $(VENV)/bin/python
	@$(BIN)/python -m venv --clear $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off --require-hashes \
	  --requirement requirements-cpu.lock --requirement requirements-peers.lock
	@touch $@

ray: $(RAY_STAMP) ## put Ray into .venv, where engine = ray and its tests find it (280 MB)

$(RAY_STAMP): requirements-ray.lock $(RUN_STAMP)
	@$(PIP) --require-hashes --requirement $<
	@touch $@

dist: $(RUN_STAMP) ## a wheel and an sdist in dist/, the same bytes every time
	@$(BIN)/python tools/dist.py $(ARGS)

sbom: $(RUN_STAMP) ## what is in it, for each of the two locks: packages, vendored scripts, models (CycloneDX), in dist/
	@$(BIN)/python tools/sbom.py $(ARGS)

binary: $(VENV)-$(BINARY)/.installed ## the single binary: dist/gfedge/ (a folder, starts at once) and dist/gfedge-onefile; CUDA=1 for GPUs, FLOOR=1 for an old glibc
	@PYTHONPATH=$(CURDIR) GFEDGE_BINARY=$(BINARY) $(FROZEN_WITH) $(VENV)-$(BINARY)/bin/pyinstaller --noconfirm --log-level WARN --distpath dist --workpath build/$(BINARY) tools/binary/gfedge.spec
	@dist/$(BUILT)/gfedge selftest
	@du -sh dist/$(BUILT) dist/$(BUILT)-onefile

# With FLOOR=1 by a Python that was made for an old glibc, with all that it needs beside it.
FROZEN_WITH := $(if $(FLOOR),LD_LIBRARY_PATH=$(CURDIR)/build/floor/lib)
$(VENV)-binary/.installed $(VENV)-binary-floor/.installed: requirements-cpu.lock
$(VENV)-binary-cuda/.installed $(VENV)-binary-cuda-floor/.installed: requirements.lock
$(VENV)-binary-floor/.installed $(VENV)-binary-cuda-floor/.installed: build/floor/bin/python3.11
$(VENV)-$(BINARY)/.installed: requirements-binary.lock | $(VENV)/bin/python
	@$(FROZEN_WITH) $(if $(FLOOR),build/floor/bin/python3.11,$(BIN)/python) -m venv --clear $(@D)
	@$(FROZEN_WITH) $(@D)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes $(patsubst %,--requirement %,$(filter %.lock,$^))
	@touch $@

build/floor/bin/python3.11: tools/binary/floor.sh $(VENV)-floor/.installed
	@tools/binary/floor.sh build/floor $(CURDIR)/$(VENV)-floor/bin/python -m ziglang

$(VENV)-floor/.installed: requirements-floor.lock | $(VENV)/bin/python
	@$(BIN)/python -m venv --clear $(VENV)-floor
	@$(VENV)-floor/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $<
	@touch $@

lint: $(VENV)-lint/.installed ## hadolint for the Dockerfile, the compose schema for docker-compose.yml
	@$(VENV)-lint/bin/hadolint Dockerfile
	@$(VENV)-lint/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

$(VENV)-lint/.installed: requirements-lint.lock | $(VENV)/bin/python
	@$(BIN)/python -m venv --clear $(VENV)-lint
	@$(VENV)-lint/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $<
	@touch $@

reference: $(RUN_STAMP) ## write docs/reference/ and the list of decisions anew
	@$(BIN)/python tools/reference.py

lock: ## write the lock files anew (needs the network)
	@$(MAKE) --no-print-directory $(VENV)-lock/bin/uv
	$(COMPILE) --upgrade --output-file requirements.lock
	$(COMPILE) --upgrade --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE_ALONE) --upgrade requirements-vastai.in --output-file requirements-vastai.lock
	@printf '%s\n' "onnxruntime-gpu ; python_version < '3'" onnxruntime > $(VENV)-lock/cpu.txt
	$(COMPILE) --override $(VENV)-lock/cpu.txt --constraint requirements.lock --output-file requirements-cpu.lock
	$(COMPILE_ALONE) --upgrade requirements-binary.in --constraint requirements-cpu.lock --output-file requirements-binary.lock
	$(COMPILE_ALONE) --upgrade requirements-floor.in --output-file requirements-floor.lock
	$(COMPILE_ALONE) --upgrade requirements-lint.in --output-file requirements-lint.lock
	$(COMPILE_ALONE) --upgrade requirements-mlflow.in --output-file requirements-mlflow.lock
	$(COMPILE_ALONE) --upgrade requirements-wandb.in --output-file requirements-wandb.lock
	@printf '%s\n' "torch ; python_version < '3'" > $(VENV)-lock/no-torch.txt
	$(COMPILE_ALONE) --override $(VENV)-lock/no-torch.txt --constraint requirements-mlflow.lock requirements-lightning.in \
	  --output-file requirements-lightning.lock
	$(COMPILE_ALONE) --upgrade requirements-sprites.in --constraint requirements.lock --output-file requirements-sprites.lock
	$(COMPILE_HERE) --python-platform windows --upgrade requirements-train.in --no-emit-package torch --constraint requirements-cpu.lock \
	  --output-file requirements-train.lock
	$(COMPILE_ALONE) --upgrade requirements-peers.in --constraint requirements-cpu.lock --output-file requirements-peers.lock
	$(COMPILE_ALONE) --upgrade requirements-ray.in --constraint requirements.lock --output-file requirements-ray.lock

clean: ## remove .venv, caches and build folders (never your data)
	rm -rf $(VENV) $(VENV)-lock $(VENV)-lint $(VENV)-vastai $(VENV)-mlflow $(VENV)-wandb $(VENV)-peers $(VENV)-sprites $(VENV)-train $(VENV)-floor $(VENV)-binary $(VENV)-binary-cuda $(VENV)-binary-floor $(VENV)-binary-cuda-floor build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@set -e; found=; \
	for python in $(if $(PYTHON),'$(PYTHON)',python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'make: gfedge needs Python 3.11 or newer and found none$(if $(PYTHON), at $(PYTHON)).' >&2; \
	  echo 'Install one, or say where it is: make run PYTHON=/path/to/python3' >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "make: $$found has no venv module. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)

$(RUN_STAMP): $(VENV)/bin/python requirements.lock pyproject.toml
	@echo 'installing requirements.lock into $(VENV) (once; about 320 MB to download, 560 MB on disk)'
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(INSTALL_SELF)
	@touch $@

$(DEV_STAMP): requirements-dev.lock $(RUN_STAMP)
	@echo 'installing requirements-dev.lock into $(VENV)'
	@$(PIP) --require-hashes --requirement requirements-dev.lock
	@touch $@

$(VENV)-lock/bin/uv: | $(VENV)/bin/python
	@$(BIN)/python -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip --disable-pip-version-check install --quiet uv==$(UV_VERSION)
