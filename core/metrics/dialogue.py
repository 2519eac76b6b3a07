"""Scores of replies: how varied they are, what words they share with the right ones, and how unexpected those were."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from math import exp, nan
from statistics import fmean

from core.metrics.base import CorpusMetric, Score, Scored

PUNCTUATION = re.compile(r"[!\"#$%&()*+,\-./:;<=>?@\[\]\\^`{|}~_']")
ARTICLES = re.compile(r"\b(a|an|the)\b")


class Distinct(CorpusMetric):
    """Distinct-n (Li et al. 2016, section 5.1): different n-grams of all replies in percent of their n-grams.

    It falls with the number of replies: compare it on the same corpus only. Gives `distinct_1` and `distinct_2`.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Of words and of pairs of words."""
        return ("distinct_1", "distinct_2")

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Counts n-grams, none across replies; NaN where there are none."""
        replies = [words_and_signs(example.hypothesis) for example in examples]
        scores: dict[str, Score] = {}
        for n, name in enumerate(self.names, start=1):
            ngrams = [words[start : start + n] for words in replies for start in range(len(words) - n + 1)]
            value = 100 * len(set(ngrams)) / len(ngrams) if ngrams else nan
            scores[name] = Score(value, f"distinct-{n}|words and signs, lower-cased|corpus")
        return scores


class WordF1(CorpusMetric):
    """F1 of the words that a reply shares with the right one, the mean over replies, as ParlAI has it: `f1`.

    Of several references the best counts. ParlAI's normalisation (`normalize_answer`): lower case, signs become
    spaces, articles go.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("f1",)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """The mean in percent."""
        values = [
            max(word_f1(example.hypothesis, reference) for reference in example.references) for example in examples
        ]
        signature = (
            "f1|ParlAI normalize_answer: lower case, no punctuation, no articles|mean over replies|best reference"
        )
        return {"f1": Score(100 * fmean(values), signature)}


class ReplyLength(CorpusMetric):
    """The mean number of words of a reply, `reply_length`, and of the first reference, `reference_length`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The reply's, and what it should be."""
        return ("reply_length", "reference_length")

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Counts what white space parts."""
        signature = "mean words|white space"
        replies = fmean(len(example.hypothesis.split()) for example in examples)
        references = fmean(len(example.references[0].split()) for example in examples)
        return {"reply_length": Score(replies, signature), "reference_length": Score(references, signature)}


class TopReply(CorpusMetric):
    """The share of the most frequent reply, in percent: a model that always says the same has 100. `top_reply`."""

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("top_reply",)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Counts equal replies; the signature names the most frequent one."""
        replies = Counter(" ".join(example.hypothesis.split()) for example in examples)
        reply, count = min(replies.items(), key=lambda item: (-item[1], item[0]))
        return {"top_reply": Score(100 * count / len(examples), f"share of {reply[:60]!r}|space:collapsed")}


class DialogueExactMatch(CorpusMetric):
    """The percentage of dialogues all of whose replies are right but for white space (Bordes et al. 2017).

    Args:
        dialogues: the dialogue of each example, by the example's id.
    """

    def __init__(self, dialogues: Sequence[int]) -> None:
        super().__init__()
        self.dialogues = dialogues

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("dialogue_exact_match",)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Counts the dialogues without a wrong reply."""
        right: defaultdict[int, bool] = defaultdict(lambda: True)
        for example in examples:
            hypothesis = example.hypothesis.split()
            right[self.dialogues[example.id]] &= any(text.split() == hypothesis for text in example.references)
        signature = f"exact_match|{len(right)} dialogues|case:mixed|space:collapsed"
        return {"dialogue_exact_match": Score(100 * sum(right.values()) / len(right), signature)}


class WordPerplexity(CorpusMetric):
    """The perplexity of the right replies per word, whatever they are cut into: `word_perplexity`.

    exp(nll / (words + replies)): words are what white space parts, and the end of a reply counts as one more, since
    the model has to tell it too. Comparable between vocabularies, as the perplexity per token is not.

    Args:
        nll: asked when all is gathered: the negative log-likelihood of all references, in nats, ends included.
    """

    def __init__(self, nll: Callable[[], float]) -> None:
        super().__init__()
        self.nll = nll

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("word_perplexity",)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Divides by the words of the first references."""
        words = sum(len(example.references[0].split()) + 1 for example in examples)
        signature = f"exp(nll/words)|{words} words by white space, each reply's end among them"
        return {"word_perplexity": Score(exp(min(self.nll() / words, 100.0)), signature)}


def words_and_signs(text: str) -> tuple[str, ...]:
    """Words and single signs, lower-cased."""
    return tuple(re.findall(r"\w+|[^\w\s]", text.lower()))


def normalize_answer(text: str) -> str:
    """ParlAI's normalisation: lower case, signs become spaces, articles go, white space collapses."""
    return " ".join(ARTICLES.sub(" ", PUNCTUATION.sub(" ", text.lower())).split())


def word_f1(hypothesis: str, reference: str) -> float:
    """The harmonic mean of precision and recall of normalised words, 0 to 1; 0 where they share none."""
    guess, gold = normalize_answer(hypothesis).split(), normalize_answer(reference).split()
    shared = sum((Counter(guess) & Counter(gold)).values())
    return 2 * shared / (len(guess) + len(gold)) if shared else 0.0
