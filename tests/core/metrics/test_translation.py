from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import sacrebleu

from core.errors import ConfigError
from core.metrics.base import CorpusMetric, Scored
from core.metrics.lengths import bleu_by_length
from core.metrics.translation import BLEU, TER, BLEUTokenizer, ChrF, ExactMatch, MosesBLEU, reference_streams
from tests.contracts.metric import EXAMPLES, MetricContract, update

HYPOTHESES = [example.hypothesis for example in EXAMPLES]
REFERENCES = [example.references[0] for example in EXAMPLES]


class TestBLEU(MetricContract):
    def make(self) -> CorpusMetric:
        return BLEU()


class TestBootstrappedBLEU(MetricContract):
    def make(self) -> CorpusMetric:
        return BLEU(n_bootstrap=50)


class TestChrF(MetricContract):
    def make(self) -> CorpusMetric:
        return ChrF()


class TestTER(MetricContract):
    def make(self) -> CorpusMetric:
        return TER()


class TestMosesBLEU(MetricContract):
    def make(self) -> CorpusMetric:
        return MosesBLEU("de")


class TestExactMatch(MetricContract):
    def make(self) -> CorpusMetric:
        return ExactMatch()

    def test_counts_by_hand(self) -> None:
        right = [Scored(0, " ein  Haus", ("ein Haus",)), Scored(1, "b", ("a", "b")), Scored(2, "", ("",))]
        wrong = [Scored(3, "Ein Haus", ("ein Haus",)), Scored(4, "ein Hau", ("ein Haus",))]
        assert update(self.make(), right + wrong).compute() == {"exact_match": 60.0}


@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_bleu_equals_sacrebleu(tokenize: BLEUTokenizer, lowercase: bool) -> None:
    expected = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], tokenize=tokenize, lowercase=lowercase)
    metric = BLEU(tokenize, lowercase)
    assert update(metric, EXAMPLES).compute() == {metric.name: pytest.approx(expected.score, abs=1e-9)}


def test_names_tell_the_variant() -> None:
    assert [BLEU().name, BLEU(lowercase=True).name, BLEU("char", True).name] == ["bleu", "bleu_lc", "bleu_char_lc"]
    assert BLEU(n_bootstrap=2).names == ("bleu", "bleu_mean", "bleu_ci")


def test_chrf_and_ter_equal_sacrebleu() -> None:
    chrf, ter = sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]), sacrebleu.corpus_ter(HYPOTHESES, [REFERENCES])
    assert update(ChrF(), EXAMPLES).compute() == {"chrf2": pytest.approx(chrf.score, abs=1e-9)}
    assert update(TER(), EXAMPLES).compute() == {"ter": pytest.approx(ter.score, abs=1e-9)}


def test_score_and_signature_equal_sacrebleus_command(tmp_path: Path) -> None:
    by_id = sorted(EXAMPLES, key=lambda example: example.id)
    (tmp_path / "hyp").write_text("".join(example.hypothesis + "\n" for example in by_id), encoding="utf-8")
    (tmp_path / "ref").write_text("".join(example.references[0] + "\n" for example in by_id), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf", "ter", "-f", "text"]
    command += ["--width", "6", "--confidence", "--confidence-n", "100"]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
    for metric, line in zip((BLEU(n_bootstrap=100), ChrF(100), TER(100)), printed, strict=True):
        scores = update(metric, EXAMPLES).compute()
        signature, _, rest = line.partition(" = ")
        score, _, interval = rest.partition(" (μ = ")
        mean, _, width = interval.partition(")")[0].partition(" ± ")
        assert metric.signatures()[metric.name] == f"sacrebleu {signature.strip()}"
        assert [f"{value:.6f}" for value in scores.values()] == [score, mean, width]


def test_references_may_differ_in_number() -> None:
    examples = [
        Scored(0, "the cat sat on the mat", ("a cat sat on a mat", "the cat sat on the mat")),
        Scored(1, "dogs bark at the moon", ("dogs bark at the moon",)),
    ]
    assert reference_streams([example.references for example in examples])[1] == ["the cat sat on the mat", None]
    assert update(BLEU(), examples).compute() == {"bleu": pytest.approx(100)}


def test_the_interval_is_that_of_resampled_corpora() -> None:
    rng = np.random.default_rng(3)
    words = [f"w{number}" for number in range(9)]
    examples = [_noisy(number, rng.choice(words, 8).tolist(), rng) for number in range(60)]
    scores = update(BLEU(n_bootstrap=400), examples).compute()
    resampled = [
        sacrebleu.corpus_bleu([one.hypothesis for one in chosen], [[one.references[0] for one in chosen]]).score
        for chosen in ([examples[k] for k in rng.integers(0, 60, 60)] for _ in range(400))
    ]
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert scores["bleu_mean"] == pytest.approx(fmean(resampled), abs=1.0)
    assert scores["bleu_ci"] == pytest.approx((high - low) / 2, rel=0.25)


def _noisy(number: int, words: Sequence[str], rng: np.random.Generator) -> Scored:
    hypothesis = [word if rng.random() < 0.8 else "x" for word in words]
    return Scored(number, " ".join(hypothesis), (" ".join(words),))


@pytest.mark.parametrize("draws", [-1, 1])
def test_an_interval_from_one_draw_is_refused(draws: int) -> None:
    with pytest.raises(ConfigError, match="n_bootstrap must be 0"):
        BLEU(n_bootstrap=draws)


def test_moses_lowercases_normalises_and_tokenises() -> None:
    # Moses' scripts on the same line: the low-high German quotes become straight ones and words of their own.
    metric = MosesBLEU("de")
    assert metric.prepare("Er sagt: „Ja, z.B. heute.“") == "er sagt : &quot; ja , z.b. heute . &quot;"
    examples = [Scored(0, "Er sagt: „Ja, heute Abend“", ('er sagt: "ja, heute abend"',))]
    assert update(metric, examples).compute() == {"bleu_moses_lc": pytest.approx(100)}
    assert metric.signatures()["bleu_moses_lc"].startswith(f"sacremoses {metric.version} lc|norm:de|tok:de, then sacre")


def test_moses_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(ConfigError, match=r"pip install 'polyseq\[moses\]'"):
        MosesBLEU("de")


def test_buckets_are_corpora_of_their_own() -> None:
    examples = [
        Scored(0, "a b c d", ("a b c d",), "1 2 3"),
        Scored(1, "a b c e f g", ("a b c d f g",), "1 2 3 4"),
        Scored(2, "g h i j", ("g h i j",), "1 2 3 4 5 6"),
        Scored(3, "g", ("g",), ""),
        Scored(4, "x y z u v", ("x y z u v",), "1 " * 20),
    ]
    buckets = bleu_by_length(examples, edges=(3, 6, 9))
    assert [(bucket.label, bucket.examples, bucket.mean_length) for bucket in buckets] == [
        ("0-3", 2, 1.5),
        ("4-6", 2, 5.0),
        ("10+", 1, 20.0),
    ]
    middle = sacrebleu.corpus_bleu(["a b c e f g", "g h i j"], [["a b c d f g", "g h i j"]]).score
    assert [bucket.bleu for bucket in buckets] == pytest.approx([100, middle, 100])


@pytest.mark.parametrize("edges", [(), (5, 5), (10, 5), (-1, 4)])
def test_edges_that_do_not_grow_are_refused(edges: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="edges must be at least 0 and grow"):
        bleu_by_length([], edges)
