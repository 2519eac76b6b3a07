"""The module of translation: the shared one, with translation's metrics."""

from __future__ import annotations

from importlib.util import find_spec

from core.metrics.base import CorpusMetric, MetricGroup
from core.metrics.translation import BLEU, TER, ChrF, ExactMatch, MosesBLEU
from core.module import Seq2SeqModule
from tasks.mt.builtin import BuiltInCorpus
from tasks.mt.builtin_topics import ExactMatchByTopic
from tasks.mt.data import MtData

BOOTSTRAP_DRAWS = 1000


class MtModule(Seq2SeqModule):
    """Translates: BLEU chooses the best checkpoint."""

    task = "mt"
    monitor, monitor_mode = "val/bleu", "max"

    def make_metric(self, stage: str) -> CorpusMetric:
        """BLEU and exact match while training; the others and a confidence interval where a checkpoint is scored."""
        if stage == "fit":
            return MetricGroup.of(BLEU(), ExactMatch())
        metrics = [BLEU(n_bootstrap=BOOTSTRAP_DRAWS), BLEU(lowercase=True), ChrF(), TER(), ExactMatch()]
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        language = data.target_language if isinstance(data, MtData) else None
        if language is not None and find_spec("sacremoses") is not None:
            metrics.append(MosesBLEU(language))
        if isinstance(data, MtData) and isinstance(data.corpus, BuiltInCorpus):
            metrics.append(ExactMatchByTopic(data.corpus.topics("val" if stage == "validate" else "test")))
        return MetricGroup(metrics)
