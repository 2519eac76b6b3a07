from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from importlib.util import find_spec
from math import exp, isnan, nan
from pathlib import Path

import pytest

from core.checkpoint import package_version
from core.errors import DataError
from core.metrics import meteor, ptb
from core.metrics.base import CorpusMetric, MetricGroup, Scored
from core.metrics.captions import CocoBLEU, CocoROUGE, Diversity
from core.metrics.cider import CiderD
from core.metrics.meteor import Meteor
from tests.contracts.metric import MetricContract, update

# What pycocoevalcap gave for these texts of our own.
RECORDED = json.loads((Path(__file__).parent / "data" / "captions.json").read_text(encoding="utf-8"))
SENTENCES: dict[str, str] = dict(RECORDED["sentences"])
EXAMPLES = [
    Scored(id_, hypothesis, tuple(references))
    for id_, (hypothesis, references) in enumerate(zip(RECORDED["hypotheses"], RECORDED["references"], strict=True))
]
TRAINING = ("A dog runs.", "a dog runs", "two dogs run")


class TestCocoBLEU(MetricContract):
    def make(self) -> CorpusMetric:
        return CocoBLEU()


class TestCocoROUGE(MetricContract):
    def make(self) -> CorpusMetric:
        return CocoROUGE()


class TestDiversity(MetricContract):
    def make(self) -> CorpusMetric:
        return Diversity(TRAINING)


# Words


@pytest.mark.parametrize("sentence", SENTENCES)
def test_words_are_those_recorded_of_the_java_tokeniser(sentence: str) -> None:
    assert " ".join(ptb.tokenize(sentence)) == SENTENCES[sentence]


def java_words(sentences: list[str]) -> list[str]:
    """The words as coco-caption has them, by its tokeniser and its list of punctuation."""
    package = find_spec("pycocoevalcap")
    if shutil.which("java") is None or package is None or package.submodule_search_locations is None:
        pytest.skip("needs java and pycocoevalcap")
    folder = Path(package.submodule_search_locations[0], "tokenizer")
    listed = re.search(r"PUNCTUATIONS = (\[.*?\])", (folder / "ptbtokenizer.py").read_text(), re.DOTALL)
    assert listed is not None
    punctuation = set(ast.literal_eval(listed[1]))
    command = ["java", "-cp", str(folder / "stanford-corenlp-3.4.1.jar"), "edu.stanford.nlp.process.PTBTokenizer"]
    text = "\n".join(sentences)
    printed = subprocess.run(
        [*command, "-preserveLines", "-lowerCase"], input=text, check=True, capture_output=True, encoding="utf-8"
    ).stdout
    lines = printed.split("\n")[: len(sentences)]
    return [" ".join(word for word in line.split() if word not in punctuation) for line in lines]


def test_recorded_words_are_still_the_java_tokenisers() -> None:
    assert java_words(list(SENTENCES)) == list(SENTENCES.values())


def test_words_equal_the_java_tokenisers_whatever_stands_beside_them() -> None:
    words = sorted({word for sentence in SENTENCES for word in sentence.split() if word.isalpha() or "'" in word})
    lines = [f"the {word}{end} {other}." for word in words for end in ",.;!" for other in ("dog", "2 dogs")]
    assert [" ".join(ptb.tokenize(line)) for line in lines] == java_words(lines)


def test_white_space_and_case_do_not_matter() -> None:
    assert ptb.tokenize(" A\tDog\n\nruns . ") == ("a", "dog", "runs") == ptb.tokenize("a dog runs")


# Scores


def test_scores_equal_those_recorded_of_coco_caption() -> None:
    metric = MetricGroup.of(CocoBLEU(), CocoROUGE(), CiderD())
    scores = update(metric, EXAMPLES).compute()
    assert scores == pytest.approx({name: RECORDED["scores"][name] for name in metric.names}, abs=1e-9)


def test_scores_equal_pycocoevalcaps() -> None:
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu")
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge")
    words = {example.id: [" ".join(ptb.tokenize(example.hypothesis))] for example in EXAMPLES}
    targets = {example.id: [" ".join(ptb.tokenize(text)) for text in example.references] for example in EXAMPLES}
    expected, _ = bleu.Bleu(4).compute_score(targets, words, verbose=0)
    assert list(update(CocoBLEU(), EXAMPLES).compute().values()) == pytest.approx([100 * one for one in expected])
    mean, _ = rouge.Rouge().compute_score(targets, words)
    assert update(CocoROUGE(), EXAMPLES).compute() == {"rouge_l": pytest.approx(100 * mean)}


def test_bleu_by_hand() -> None:
    # 3 of 4 words and 1 of 3 pairs are right, no triple; of the references, the one of 5 words is as near as that of
    # 3, which is shorter and counts: no penalty. Then one word too few: e^(1 - 5/4).
    example = Scored(0, "a b x c", ("a b c", "a b d e c"))
    scores = list(update(CocoBLEU(), [example]).compute().values())
    assert scores == pytest.approx([75, 50, 100 * (0.25 * 1e-15 / 2) ** (1 / 3), 0], abs=1e-5)
    short = Scored(0, "a b x c", ("a b d e c",))
    assert update(CocoBLEU(), [short]).compute()["bleu_1"] == pytest.approx(75 * exp(-0.25))


def test_rouge_by_hand() -> None:
    # Best precision 2/4 with the first reference, best recall 2/2 with the second: (1 + b²) p r / (r + b² p).
    example = Scored(0, "a x b y", ("a b c d", "x y"))
    assert update(CocoROUGE(), [example]).compute() == {"rouge_l": pytest.approx(100 * 2.44 * 0.5 / (1 + 1.44 * 0.5))}


def test_diversity_by_hand() -> None:
    captions = ["A dog runs .", "two dogs bark", "a dog barks", ""]
    scores = update(Diversity(TRAINING), [Scored(id_, text, ("x",)) for id_, text in enumerate(captions)]).compute()
    # 9 words, of them 7 different; 6 pairs, of them 5 different; the first is a training caption.
    shares = {"distinct_1": 700 / 9, "distinct_2": 500 / 6, "novel": 75.0}
    assert scores == pytest.approx({**shares, "vocabulary": 7.0, "mean_length": 2.25})


def test_a_share_of_no_pairs_is_no_number() -> None:
    scores = update(Diversity(TRAINING), [Scored(0, "dog", ("x",))]).compute()
    assert scores["distinct_1"] == 100
    assert isnan(scores["distinct_2"])


def test_tokenised_text_is_left_as_it_is() -> None:
    examples = [Scored(0, "Ein Hund , er", ("Ein Hund ; er",))]
    assert update(CocoBLEU("none"), examples).compute()["bleu_1"] == pytest.approx(75)
    assert update(CocoBLEU(), examples).compute()["bleu_1"] == pytest.approx(100)


def test_signatures_tell_the_conventions() -> None:
    metric = update(CocoBLEU(), EXAMPLES)
    metric.compute()
    expected = f"coco-caption BLEU reimplemented|closest reference|polyseq {package_version()}|tokeniser: ptb"
    assert set(metric.signatures().values()) == {expected}


@pytest.mark.parametrize("metric", [CocoBLEU(), CocoROUGE(), CiderD()])
def test_a_caption_without_reference_is_refused(metric: CorpusMetric) -> None:
    with pytest.raises(DataError, match="example 5 has no reference caption"):
        update(metric, [Scored(3, "a", ("a",)), Scored(5, "a", ())]).compute()


# METEOR


def test_meteor_is_never_zero_where_it_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: None)
    metric = update(Meteor(), EXAMPLES)
    assert metric.compute() == pytest.approx({"meteor": nan}, nan_ok=True)
    assert metric.signatures()["meteor"].startswith("not available: needs java")


def test_meteor_says_that_its_program_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(meteor, "folder", lambda: tmp_path)
    monkeypatch.setattr(meteor, "COMMAND", ("true",))
    metric = update(Meteor(), EXAMPLES)
    assert isnan(metric.compute()["meteor"])
    assert metric.signatures()["meteor"].startswith("not available: METEOR 1.5 gave no score")


@pytest.mark.slow  # the program takes 10 seconds to start
def test_meteor_equals_pycocoevalcaps() -> None:
    if meteor.folder() is None:
        pytest.skip("needs java and pycocoevalcap")
    assert update(Meteor(), EXAMPLES).compute() == {"meteor": pytest.approx(RECORDED["scores"]["meteor"], abs=1e-9)}
