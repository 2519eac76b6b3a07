"""What every test stands on: one thread, its own cache, a fixed seed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before anything imports torch: pytest-xdist runs a process a core, and two processes of two threads each are ten
# times slower than two of one.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads and the fork of a data loader's workers don't go together
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that needs the network is a defect, and would wait for its time-out

import torch  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Holds torch to one thread, also where it was imported before this file."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keeps what polyseq caches (built-in corpora, tokenizers) out of the user's home, one folder a worker."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["POLYSEQ_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def seed() -> int:
    """Seeds torch's global generator before each test, so that a test's numbers don't depend on those before it."""
    torch.manual_seed(0)
    return 0
