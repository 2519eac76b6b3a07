"""The datamodule of translation: pairs of sentences in two languages."""

from __future__ import annotations

from core.data.text import AlignedText
from core.data.text_datamodule import TextDataModule
from tasks.mt.builtin import BuiltInCorpus


class MtData(TextDataModule):
    """Pairs of sentences. All of its options are those of text in general."""

    @property
    def target_language(self) -> str | None:
        """The target's language code, where the corpus tells it: Moses tokenises by language."""
        if isinstance(self.corpus, AlignedText):
            return self.corpus.target
        return "de" if isinstance(self.corpus, BuiltInCorpus) else None
