# radserve. `make` prints this help. Every target installs what it needs into .venv and .venv-triton.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
MEMBERS := contract export triton_server preproc_service client devstack
export UV_PYTHON_DOWNLOADS := never
# ONNX Runtime from PyPI would tell Microsoft about every session that is opened
export ORT_DISABLE_TELEMETRY := 1

# uv from PATH, else one of our own in .radserve/uv
UV := $(shell command -v uv || echo .radserve/uv/bin/uv)

# REPOSITORY=DIR is served as it is. Otherwise one is exported, once, and again when its sources change; each set of
# checkpoints gets a folder of its own, so that trained and untrained networks never mix.
PIPELINE ?= spine
CHECKPOINTS ?=
FILE ?=
OF_PIPELINE = $(if $(filter-out spine,$(PIPELINE)),-$(PIPELINE))
ifndef REPOSITORY
  ifneq ($(CHECKPOINTS),)
    $(if $(shell test -d '$(CHECKPOINTS)' && echo yes),,$(error CHECKPOINTS=$(CHECKPOINTS) is no folder))
    REPOSITORY := .radserve/repository$(OF_PIPELINE)-$(shell cd '$(CHECKPOINTS)' && find . \( -name '*.pth' -o -name '*.pt' -o -name '*.ckpt' -o -name '*.hdf5' -o -name '*.h5' \) \
	-printf '%p %s %T@\n' | sort | sha256sum | cut -c1-12)
  else
    REPOSITORY := .radserve/repository$(OF_PIPELINE)
  endif
  EXPORTED := $(REPOSITORY)/manifest.json
endif
WEIGHTS = $(if $(CHECKPOINTS),--checkpoints '$(CHECKPOINTS)',--untrained)
EXPORT_SOURCES = $(shell find contract/src export/src model_repository devstack/src/radserve_devstack/phantoms \
	-type f -not -path '*/__pycache__/*')

# What the CT half of the benchmarks is measured on. CT_REPOSITORY=DIR is taken as it is.
ifndef CT_REPOSITORY
  CT_REPOSITORY := .radserve/repository-ct
  CT_EXPORTED := $(CT_REPOSITORY)/manifest.json
endif
CT_PIPELINES := hemorrhage head_ct abdominal_trauma covid_lung
ONLY ?= all

ifeq ($(filter demo,$(MAKECMDGOALS))$(PIPELINE),demoall)
  $(error make demo shows one pipeline: PIPELINE=spine, hemorrhage, head_ct, abdominal_trauma or covid_lung)
endif

.DEFAULT_GOAL := help
.PHONY: help install export serve demo bench bundle lint test test-bundle verify-all lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.radserve/uv/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .radserve/uv
	.radserve/uv/bin/pip install --quiet --require-hashes -r requirements/uv.txt
	touch $@

.venv/.stamp: requirements/dev.txt $(MEMBERS:%=%/pyproject.toml) | $(filter .radserve/%,$(UV))
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "make: $(PYTHON) is $$($(PYTHON) -V); radserve needs Python 3.11 to 3.13 (make PYTHON=python3.12 ...)" >&2; exit 1; }
	$(UV) venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	VIRTUAL_ENV=.venv $(UV) pip sync --quiet --require-hashes requirements/dev.txt
	VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps $(MEMBERS:%=-e ./%)
	touch $@

.venv-triton/.stamp: requirements/triton.txt requirements/triton-server.txt | .venv/.stamp
	$(UV) venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv-triton
	VIRTUAL_ENV=.venv-triton $(UV) pip sync --quiet --require-hashes requirements/triton.txt
	VIRTUAL_ENV=.venv-triton $(UV) pip install --quiet --require-hashes --no-deps -r requirements/triton-server.txt
	touch $@

install: .venv/.stamp .venv-triton/.stamp ## both virtual environments, from hashed requirement files

demo: $(EXPORTED) | .venv/.stamp .venv-triton/.stamp ## score synthetic studies through Triton; PIPELINE=spine, FILE=film.dcm, CHECKPOINTS=DIR
	@.venv/bin/radserve-demo --repository '$(REPOSITORY)' --pipeline '$(PIPELINE)' $(if $(FILE),'$(FILE)')

serve: $(EXPORTED) | .venv/.stamp .venv-triton/.stamp ## Triton and the service until Ctrl-C; PIPELINE=spine or all, CHECKPOINTS=DIR, REPOSITORY=DIR
	@.venv/bin/radserve-serve --repository '$(REPOSITORY)'

export: | .venv/.stamp ## write the repository that Triton serves; PIPELINE=spine or all; untrained, or CHECKPOINTS=DIR
	.venv/bin/radserve-export '$(PIPELINE)' $(WEIGHTS) --repository '$(REPOSITORY)'

ifdef EXPORTED
$(EXPORTED): $(EXPORT_SOURCES) requirements/export.txt | .venv/.stamp
	.venv/bin/radserve-export '$(PIPELINE)' $(WEIGHTS) --repository '$(REPOSITORY)'
endif

.radserve/perf_analyzer/bin/perf_analyzer: requirements/perf-analyzer.txt | .venv/.stamp
	$(UV) pip install --quiet --python .venv --target .radserve/perf_analyzer --no-deps --require-hashes -r $<
	touch $@

ifdef CT_EXPORTED
$(CT_EXPORTED): $(EXPORT_SOURCES) requirements/export.txt | .venv/.stamp
	.venv/bin/radserve-export $(CT_PIPELINES) --untrained --repository '$(CT_REPOSITORY)'
endif

bench: $(if $(filter all spine score,$(ONLY)),$(EXPORTED)) $(if $(filter all ct,$(ONLY)),$(CT_EXPORTED)) .radserve/perf_analyzer/bin/perf_analyzer | .venv/.stamp .venv-triton/.stamp ## measure everything, write docs/benchmarks.md; wants an idle machine; ONLY=spine, ct or score
	.venv/bin/python -m bench run --only '$(ONLY)' --repository '$(REPOSITORY)' --ct-repository '$(CT_REPOSITORY)' $(if $(CHECKPOINTS),--checkpoints '$(CHECKPOINTS)')

bundle: $(EXPORTED) | .venv/.stamp ## one archive for sites without internet, in dist/; CHECKPOINTS=DIR, PIPELINE=all, REPOSITORY=DIR
	.venv/bin/python -m bundle --repository '$(REPOSITORY)'

lint: .venv/.stamp ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy $(MEMBERS:%=%/src) bench bundle monitoring requirements/licences.py

test: install lint ## everything CI runs: ruff, mypy and the tests, real tritonserver included
	.venv/bin/pytest

test-bundle: install ## the bundle made, checked and installed where there is no network; downloads 0.4 GB once
	RADSERVE_TEST_BUNDLE=1 RADSERVE_REQUIRE_TOOLS=1 .venv/bin/pytest tests/bundle tests/end_to_end/test_bundle.py

# every network of every profile; profiles that differ in thresholds alone share their networks
VERIFIED := spine:deployed spine:published abdominal_trauma:deployed abdominal_trauma:deployed_128
verify-all: .venv/.stamp ## export all networks in all formats, compare with the originals, write docs/verification*.md; takes hours
	.venv/bin/radserve-export all --untrained $(VERIFIED:%=--profile %) --format torchscript --repository .radserve/verify-all
	.venv/bin/python -m radserve_export.verification_page .radserve/verify-all --page docs/verification.md
	.venv/bin/python -m radserve_export.head_ct_variants --page docs/verification-head-ct.md

lock: | $(filter .radserve/%,$(UV)) ## write requirements/*.txt anew from the pyproject.toml files
	UV=$(UV) requirements/lock.sh

clean: ## remove virtual environments, served repository and demo output
	rm -rf .venv .venv-triton .radserve demo
