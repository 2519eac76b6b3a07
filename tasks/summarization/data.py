"""The datamodule of summarization: documents and their summaries."""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import DataLoader

from core.data.collate import Example
from core.data.corpus import Split
from core.data.text_datamodule import TextDataModule
from tasks.summarization.builtin import BuiltInCorpus
from tasks.summarization.predict import unescape


class SummarizationData(TextDataModule):
    """Documents and summaries. All of its options are those of text in general."""

    def describe(self, splits: Sequence[Split]) -> str:
        """What was counted in these splits; of the built-in corpus also what it was made of."""
        table = super().describe(splits)
        return f"{self.corpus.stored.told()}\n{table}" if isinstance(self.corpus, BuiltInCorpus) else table

    def text_loader(self, lines: Sequence[str]) -> DataLoader[Example]:
        """Batches of documents for prediction, each one line (see `unescape`)."""
        return super().text_loader([unescape(line) for line in lines])
