# Everything here makes its own virtual environment when it is missing: python3 and make are enough.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

DEMO_RUN := demo
DEMO_TEXT := set the alarm for half past seven tomorrow
SPEECH := runs/asr/$(DEMO_RUN)
TRANSLATION := runs/mt/$(DEMO_RUN)

define DEMO_SENTENCES
The train leaves at half past nine.
It costs twenty-four euros and fifty cents.
My sister was born on the twenty-first of March nineteen eighty-seven.
endef
export DEMO_SENTENCES

.PHONY: help install demo demo-mt test test-slow check format bench clean
.DEFAULT_GOAL := help

help:  ## Prints this list.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), about two minutes"
	$(VENV)/bin/pip install -q -e ".[dev]"
	@touch $@

install: $(INSTALLED)  ## Makes .venv with all that the other targets need.

demo: $(INSTALLED)  ## Trains a speech recogniser on the built-in corpus, tests it, transcribes and draws a sound.
	rm -rf $(SPEECH)
	$(RUN) -m tasks.asr fit --run $(DEMO_RUN)
	$(RUN) -m tasks.asr test --ckpt_path $(SPEECH)/best.ckpt
	$(RUN) -m tasks.asr speak "$(DEMO_TEXT)" $(SPEECH)/spoken.wav --voice en-gb+f3
	$(RUN) -m tasks.asr predict --ckpt_path $(SPEECH)/best.ckpt --input $(SPEECH)/spoken.wav --pictures $(SPEECH)
	@echo "said:  $(DEMO_TEXT)"
	@echo "drawn: $(SPEECH)/spoken.wav.png"

demo-mt: $(INSTALLED)  ## Trains a translation model on the built-in corpus, tests it, translates three sentences.
	rm -rf $(TRANSLATION)
	$(RUN) -m tasks.mt fit --run $(DEMO_RUN)
	$(RUN) -m tasks.mt test --ckpt_path $(TRANSLATION)/best.ckpt
	echo "$$DEMO_SENTENCES" | $(RUN) -m tasks.mt predict --ckpt_path $(TRANSLATION)/best.ckpt

# One thread a process: two busy processes of two threads each are ten times slower on two cores.
test: $(INSTALLED)  ## Runs the tests, a few minutes on two cores.
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2

test-slow: $(INSTALLED)  ## Runs the tests that train for longer than a few seconds.
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 -m slow

check: $(INSTALLED)  ## Format, lint, types, and who may import whom.
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(INSTALLED)  ## Formats the code, and mends what the linter can.
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(INSTALLED)  ## Training and decoding speed beside transformers' own encoder-decoder.
	$(RUN) -m benchmarks.train_speed
	$(RUN) -m benchmarks.decode_speed

clean:  ## Removes .venv and caches; runs/ stays.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
