"""The datamodule of dialogue: histories and replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch.utils.data import DataLoader

from core.data.collate import Example
from core.data.corpus import Split, TextPair
from core.data.encode import Overlong
from core.data.sampler import Budget
from core.data.text_datamodule import TextDataModule
from core.data.vocabularies import Vocabularies, cached_vocabularies, default_cache, read_vocabularies
from core.errors import CheckpointError
from core.tokenization import TokenizerOptions
from tasks.dialogue.dialogues import SYMBOLS, DialogueCorpus, Exchange, ReplyOf, Speaker, exchanges
from tasks.dialogue.history import HistoryCutter, HistoryReport
from tasks.dialogue.readers import alternating


class DialogueData(TextDataModule):
    """Batches of histories and their replies.

    The source is the history, each turn behind its speaker's symbol, and at its end the symbol of who is to reply. One
    that is too long loses its first turns, whole (`HistoryCutter`); this is counted.

    Args:
        corpus: where the dialogues come from.
        reply_of: whose turns are learnt.
        tokenizer: how to train the tokenizers, unless `tokenizers` gives them; the speakers' symbols are added.
        tokenizers: a directory with trained ones (joint.json, or source.json and target.json), one JSON file for
            both sides, or one of our checkpoints.
        batch_tokens: the most tokens of a training batch on one rank, padding included (see `budget`).
        eval_batch_tokens: the same for validation, test and prediction; None for `batch_tokens`.
        budget: what is counted: each pair's longer side ("longest"), its source or its target.
        max_source_length: the most tokens of a history, end token not counted.
        max_target_length: the most tokens of a reply, end token not counted.
        overlong: what happens to longer replies in training. In evaluation they are truncated, never dropped.
        append_eos: end each source with the end token.
        bpe_dropout: probability of leaving out a merge in training (see `TextDataModule`).
        num_workers: processes that make batches; 0 for none beside the trainer's own.
        seed: of the order of the training batches.
        cache_dir: where trained tokenizers are kept; None for $POLYSEQ_CACHE or ~/.cache/polyseq.

    Raises:
        ConfigError: an option is out of its range.
    """

    corpus: DialogueCorpus

    def __init__(
        self,
        corpus: DialogueCorpus,
        reply_of: ReplyOf = "system",
        tokenizer: TokenizerOptions = TokenizerOptions(),  # noqa: B008 (it is frozen)
        tokenizers: Path | None = None,
        batch_tokens: int = 4096,
        eval_batch_tokens: int | None = None,
        budget: Budget = "longest",
        max_source_length: int = 128,
        max_target_length: int = 128,
        overlong: Overlong = "drop",
        append_eos: bool = True,
        bpe_dropout: float = 0.0,
        num_workers: int = 0,
        seed: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        super().__init__(
            corpus,
            replace(tokenizer, symbols=tuple(dict.fromkeys((*SYMBOLS.values(), *tokenizer.symbols)))),
            tokenizers,
            batch_tokens,
            eval_batch_tokens,
            budget,
            max_source_length,
            max_target_length,
            overlong,
            append_eos,
            bpe_dropout,
            num_workers,
            seed,
            cache_dir,
        )
        self.limits = replace(self.limits, source_end="last")
        self.reply_of: ReplyOf = reply_of
        self.histories: dict[Split, HistoryReport] = {}
        self._exchanges: dict[Split, list[Exchange]] = {}

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """Both tokenizers: read, or from the cache, or trained on the turns of the training split, each read once."""
        if self.tokenizers_path is not None:
            return read_vocabularies(Path(self.tokenizers_path))
        dialogues = self.corpus.dialogues("train")
        known = [line for dialogue in dialogues for line in dialogue.knowledge]
        turns = [turn.text for dialogue in dialogues for turn in dialogue.turns]
        options, cache = self.tokenizer_options, self.cache_dir or default_cache()
        replies = [each.reply.text for each in self.exchanges("train")]
        return cached_vocabularies([*known, *turns], [] if options.joint else replies, options, cache)

    def exchanges(self, split: Split) -> list[Exchange]:
        """The replies of a split with their whole histories, read once.

        Raises:
            DataError: the data is missing or can't be used.
        """
        if split not in self._exchanges:
            self._exchanges[split] = exchanges(self.corpus.dialogues(split), self.reply_of)
        return self._exchanges[split]

    def dialogue_numbers(self, split: Split) -> list[int]:
        """The dialogue that each reply of a split belongs to, by the reply's id."""
        return [each.dialogue for each in self.exchanges(split)]

    @property
    def cutter(self) -> HistoryCutter:
        """Cuts histories to this datamodule's length, with a count that begins anew."""
        tokenizer = self.source_tokenizer
        missing = [symbol for symbol in SYMBOLS.values() if symbol not in tokenizer.options.symbols]
        if missing:
            raise CheckpointError(
                f"data.tokenizers: {self.tokenizers_path} doesn't know the speakers' symbols {', '.join(missing)}: "
                "leave it out, and `fit` trains one that does"
            )
        return HistoryCutter(tokenizer, self.limits.source)

    def pairs(self, split: Split) -> Sequence[TextPair]:
        """Histories that fit, and their replies.

        Raises:
            DataError: the data is missing or can't be used.
        """
        if split not in self._pairs:
            cutter = self.cutter
            self._pairs[split] = [
                TextPair(number, cutter.source(exchange), (exchange.reply.text,))
                for number, exchange in enumerate(self.exchanges(split))
            ]
            self.histories[split] = cutter.report
        return self._pairs[split]

    def describe(self, splits: Sequence[Split]) -> str:
        """What was counted in these splits, and what was cut from their histories."""
        cut = [
            f"{split}: {report} (data.max_source_length={self.limits.source})"
            for split in splits
            if (report := self.histories[split]).cut or report.knowledge
        ]
        return "\n".join([super().describe(splits), *cut])

    def text_loader(self, lines: Sequence[str]) -> DataLoader[Example]:
        """Batches of histories for prediction: a line has its turns with tabs between them, the other's turn last."""
        speaker: Speaker = "user" if self.reply_of == "user" else "system"
        other: Speaker = "system" if speaker == "user" else "user"
        cutter = self.cutter
        histories = [
            cutter.fit((), alternating(line.split("\t"), last=other), speaker) if line.strip() else "" for line in lines
        ]
        return super().text_loader(histories)
