# Everything runs in .venv, which `make` makes by itself. PYTHON chooses another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
LABS := labs
# how many tests run at a time; 0 is one after the other, in one process
PROCESSES ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help cluster lab labs pictures slides test check bench lock packages clean

help:
	@echo "make cluster   bring a cluster up and say what to type next"
	@echo "make lab       open the workshop in JupyterLab"
	@echo "make labs      a robot learner goes through every lab in a browser; pictures in build/robot"
	@echo "make slides    the decks as HTML and PDF, into build/slides"
	@echo "make test      every check and every test"
	@echo "make check     the static checks only"
	@echo "make bench     cold start, memory, idle load"

$(READY): requirements.lock pyproject.toml tools/environment.py
	@$(PYTHON) tools/environment.py $(VENV)
	@touch $@

cluster: $(READY)
	@$(CURDIR)/$(BIN)/workshop up

lab: $(READY)
	@mkdir -p $(VENV)/share/jupyter/lab/settings $(VENV)/etc/ipython
	@cp tools/jupyterlab/overrides.json $(VENV)/share/jupyter/lab/settings/overrides.json
	@cp tools/jupyterlab/ipython_kernel_config.py $(VENV)/etc/ipython/ipython_kernel_config.py
	@$(BIN)/python -m workshop.lessons.warm &
	@$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) \
		--ContentsManager.hide_globs='["*.md", "__pycache__"]' $(LAB_FLAGS) $(LABS)/index.ipynb

pictures: $(READY)
	@$(BIN)/python -m tests.robot 01-control-loop --documents docs/pictures

labs: $(READY)
	@$(BIN)/python -m tests.robot

slides: $(READY)
	@$(BIN)/python -m tools.slides build

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

packages:
	@sh tools/packages.sh

test: packages check
	$(BIN)/pytest -n $(PROCESSES) -m "not cluster"
	$(BIN)/pytest -n $(PROCESSES) -m cluster

bench: $(READY)
	$(BIN)/python -m bench

lock: $(READY)
	$(BIN)/python tools/lock.py > requirements.lock.new && mv requirements.lock.new requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
