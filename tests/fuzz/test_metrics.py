"""Scores of any texts are those of the packages whose numbers people compare."""

from __future__ import annotations

import jiwer
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from core.metrics.base import CorpusMetric
from core.metrics.rouge import ROUGE
from core.metrics.speech import CharacterErrorRate, WordErrorRate
from core.metrics.translation import BLEU, ChrF

FUZZ = settings(max_examples=40, deadline=None, derandomize=True)
words = st.lists(st.sampled_from(["the", "cat", "sat", "ä", "don't", "9", "?"]), max_size=6).map(" ".join)
some = st.lists(st.sampled_from(["the", "cat", "sat", "dog"]), min_size=1, max_size=6).map(" ".join)
corpora = st.lists(st.tuples(words, some), min_size=1, max_size=5)
Corpus = list[tuple[str, str]]


def scored(metric: CorpusMetric, corpus: Corpus) -> dict[str, float]:
    for number, (hypothesis, reference) in enumerate(corpus):
        metric.update([number], [hypothesis], [(reference,)], [""])
    return metric.compute()


@FUZZ
@given(corpora)
def test_bleu_and_chrf_are_sacrebleu_s(corpus: Corpus) -> None:
    hypotheses, references = map(list, zip(*corpus, strict=True))
    bleu = sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert next(iter(scored(BLEU(), corpus).values())) == pytest.approx(bleu, abs=1e-9)
    chrf = sacrebleu.corpus_chrf(hypotheses, [references]).score
    assert next(iter(scored(ChrF(), corpus).values())) == pytest.approx(chrf, abs=1e-9)


@FUZZ
@given(corpora)
def test_error_rates_are_jiwer_s(corpus: Corpus) -> None:
    hypotheses, references = map(list, zip(*corpus, strict=True))
    assert scored(WordErrorRate(), corpus)["wer"] == pytest.approx(100 * jiwer.wer(references, hypotheses))
    assert scored(CharacterErrorRate(), corpus)["cer"] == pytest.approx(100 * jiwer.cer(references, hypotheses))


@FUZZ
@given(corpora)
def test_rouge_is_rouge_score_s_mean(corpus: Corpus) -> None:
    scorer = RougeScorer(["rouge1", "rouge2"], use_stemmer=True)
    found = [scorer.score(reference, hypothesis) for hypothesis, reference in corpus]
    ours = scored(ROUGE(), corpus)
    for name in ("rouge1", "rouge2"):
        mean = sum(score[name].fmeasure for score in found) / len(found)
        assert ours[name] == pytest.approx(100 * mean)
