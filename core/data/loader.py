"""Loaders: one for training that goes on where a stopped run was, and one for lines of text."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader

from core.batch import Seq2SeqBatch
from core.data.collate import Example
from core.data.corpus import TextPair
from core.data.encode import Limits, TextDataset, TokenTable, close_source
from core.data.sampler import BucketBatchSampler
from core.data.unreadable import Allowance, CheckedExamples, dead_worker
from core.errors import CheckpointError
from core.tokenization import TrainedTokenizer

_log = logging.getLogger(__name__)

OTHERWISE = "the lengths of the training examples, or the order in which they stand"


class CheckedLoader(DataLoader[Example]):
    """Yields batches whose examples could all be read, or lack some that may be lacking.

    Args:
        dataset: the examples.
        sampler: their batches.
        allowance: of what may be lacking.
        num_workers: worker processes; 0 makes the batches in this one.
        pin_memory: give batches in page-locked memory.
    """

    def __init__(
        self,
        dataset: CheckedExamples,
        sampler: BucketBatchSampler,
        allowance: Allowance,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]  # what it holds isn't collated yet
            batch_sampler=sampler,
            collate_fn=dataset.collate,
            num_workers=num_workers,
            pin_memory=pin_memory,
            worker_init_fn=heed_the_parent_alone,
        )
        self.examples, self.allowance = dataset, allowance

    def __iter__(self) -> Iterator[Seq2SeqBatch]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            try:
                read = next(batches)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:  # what is met depends on where the other process died
                dead = _dead(batches)
                told = dead_worker(error, [self.examples], dead) if dead else None
                if told is None:
                    raise
                raise told from error
            yield self.allowance.take(read)


def heed_the_parent_alone(worker: int) -> None:
    """Leaves it to the process that trains to act on a signal that a whole job is sent, by SLURM or by Ctrl-C.

    It writes its checkpoint after the next update, for which it needs this worker. What the parent itself sends ends
    the worker as ever.
    """
    parent = os.getppid()
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _dead(batches: object) -> list[int]:
    """The numbers of a loader's worker processes that have ended."""
    workers = getattr(batches, "_workers", [])
    for worker in workers:
        worker.join(timeout=1)  # it may have closed its files, which is what was noticed, and not be gone yet
    return [worker.pid for worker in workers if not worker.is_alive()]


class ResumableLoader(CheckedLoader):
    """Yields the epoch's batches from the position of the run on.

    Nothing happens before the first batch is asked for: only then has Lightning told the sampler its epoch
    (`set_epoch`) and restored its own progress from a checkpoint. So `position` is asked at that moment, and no
    state of a loader can be lost or be out of step with the run's.

    Args:
        dataset: the examples.
        sampler: their batches.
        position: the number of batches of this epoch that were seen already.
        allowance: of examples that can't be read.
        num_workers: worker processes; 0 makes the batches in this one.
        pin_memory: give batches in page-locked memory.
    """

    batch_sampler: BucketBatchSampler

    def __init__(
        self,
        dataset: CheckedExamples,
        sampler: BucketBatchSampler,
        position: Callable[[], int],
        allowance: Allowance,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(dataset, sampler, allowance, num_workers, pin_memory)
        self.position = position

    def __iter__(self) -> Iterator[Seq2SeqBatch]:  # type: ignore[override]
        self.batch_sampler.start_at(self.position())
        self.examples.inner.epoch = self.batch_sampler.epoch
        yield from super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """What identifies the plan, and what was left out; the position in it is the run's own."""
        left_out = sorted(self.allowance.known)
        return {"plan": self.batch_sampler.fingerprint, "about": self.batch_sampler.about, "unreadable": left_out}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuses to go on in the middle of an epoch whose batches are others than before.

        Raises:
            CheckpointError: the data, the batch size, the seed or the number of ranks has changed; says which.
        """
        if state.get("plan") == self.batch_sampler.fingerprint:
            self.allowance.known = set(state.get("unreadable", []))
            return
        check_plan(state.get("about", {}), self.batch_sampler.about, OTHERWISE)


def check_plan(then: dict[str, Any], now: dict[str, Any], otherwise: str | None = None) -> None:
    """Refuses to go on in the middle of an epoch whose batches are others than before.

    Args:
        then: what they followed from, in words.
        now: what they follow from.
        otherwise: what has changed where nothing of this has; None where nothing has then.

    Raises:
        CheckpointError: something has changed; says what.
    """
    changed = [f"{name}: {then[name]} then, {now.get(name)} now" for name in then if then[name] != now.get(name)]
    told = "; ".join(changed) or otherwise
    if told is not None:
        raise CheckpointError(
            "a run goes on in the middle of an epoch, whose batches can't be found again, because something has "
            f"changed: {told}. Change it back, or begin a new run with these weights: --fit.weights in the place of "
            "--ckpt_path"
        )


def text_loader(
    lines: Sequence[str],
    tokenizer: TrainedTokenizer,
    batch_tokens: int,
    limits: Limits,
) -> DataLoader[Example]:
    """Batches raw lines for prediction, the longest first; a batch's `ids` are the lines' numbers from 0.

    Lines without a token are in no batch: their result is the empty text. Over-long lines are truncated, with one
    warning that counts them.

    Args:
        lines: the sources.
        tokenizer: of the source.
        batch_tokens: the most source tokens of a batch, padding included.
        limits: the longest source.
    """
    rows = tokenizer.encode_batch(lines)
    overlong = sum(len(row) > limits.source for row in rows)
    if overlong:
        _log.warning(
            "%d of %d lines are truncated to %d tokens (data.max_source_length)", overlong, len(rows), limits.source
        )
    kept = [index for index, row in enumerate(rows) if row]
    sources = TokenTable([close_source(rows[index], limits, tokenizer.specials.eos) for index in kept])
    pairs = [TextPair(index, lines[index], ()) for index in kept]
    dataset = TextDataset(pairs, sources, None, tokenizer.specials.pad, tokenizer.open_types)
    sampler = BucketBatchSampler(sources.lengths, sources.lengths, batch_tokens, shuffle=False)
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=dataset.collate)
