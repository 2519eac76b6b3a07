"""Corpora, batches and loaders. The readers are imported here so that YAML may name them: `corpus: JsonlCorpus`."""

from core.data.records import DatasetCorpus, JsonlCorpus
from core.data.tables import CsvCorpus, TsvCorpus
from core.data.text import AlignedText

__all__ = ["AlignedText", "CsvCorpus", "DatasetCorpus", "JsonlCorpus", "TsvCorpus"]
