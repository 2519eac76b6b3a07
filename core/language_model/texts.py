"""What a language model learns from: texts, cut into a checkpoint's target tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from core.checkpoint import KEY, read_checkpoint
from core.data.corpus import Corpus
from core.data.images import ImageCorpus
from core.data.speech import SpeechCorpus
from core.data.text import iterate_lines
from core.errors import ConfigError
from core.tokenization import TrainedTokenizer

AT_ONCE = 4096  # texts that are cut together


def texts_of(inputs: Sequence[Path], checkpoint: Path) -> Iterator[str]:
    """The lines of files, or without files the targets that a checkpoint was trained on, read from its corpus again.

    Raises:
        ConfigError: that corpus isn't one of pairs, utterances or captioned images.
        DataError: a file, or the corpus, is missing or can't be used.
    """
    if inputs:
        return (line for path in inputs for line in iterate_lines(path))
    return training_targets(read_checkpoint(checkpoint)[KEY]["config"])


def training_targets(config: dict[str, Any]) -> Iterator[str]:
    """The targets of the training split of a run, given its options.

    Raises:
        ConfigError: see `texts_of`.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--corpus", type=Corpus | SpeechCorpus | ImageCorpus)
    try:
        parsed = parser.parse_object({"corpus": config["data"]["corpus"]})
    except (ArgumentError, KeyError) as error:
        raise ConfigError("--input: this checkpoint's corpus has no plain targets: give files of texts") from error
    corpus: Corpus | SpeechCorpus | ImageCorpus = parser.instantiate(parsed).corpus
    if isinstance(corpus, SpeechCorpus):
        yield from (utterance.text for utterance in corpus.read("train"))
    elif isinstance(corpus, ImageCorpus):
        yield from (caption for image in corpus.read("train") for caption in image.captions)
    else:
        yield from (target for pair in corpus.iterate("train") for target in pair.targets)


def cut(texts: Iterable[str], tokenizer: TrainedTokenizer) -> Iterator[list[int]]:
    """The ids of each text, without begin and end token; texts without a token are left out.

    A word that a tokenizer with `own_words` gives an id beyond its types is an unknown one here.
    """
    texts, size, unk = iter(texts), len(tokenizer), tokenizer.specials.unk
    while chunk := list(islice(texts, AT_ONCE)):
        for ids in filter(None, tokenizer.encode_batch(chunk)):
            yield [token if token < size else unk for token in ids]
