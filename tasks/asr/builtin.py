"""The built-in corpus: spoken numbers, times, prices and short commands, synthesised by espeak-ng in half a minute.

Voices of the validation and the test are never heard in training. Half of what they say is: the other half are
sentences of the same kinds that are new.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from core.data.corpus import Split
from core.data.speech import SpeechCorpus, Utterance
from core.data.speech_manifests import JsonlSpeech
from core.data.vocabularies import default_cache
from core.errors import ConfigError
from tasks.asr.builtin_cache import cached_recordings
from tasks.asr.builtin_sound import Request
from tasks.asr.builtin_texts import Sentence, Writer
from tasks.asr.builtin_voices import assign
from tasks.asr.espeak import Manner

SPLITS: tuple[Split, ...] = ("train", "val", "test")
SEEN = 0.5  # share of the held-out utterances whose sentence is a training sentence too
RATES = (130, 200)  # words a minute
PITCHES = (35, 65)
RANGES = (30, 70)


class BuiltInSpeech(SpeechCorpus):
    """English speech of many voices, accents, rates and pitches, at all levels, with some noise.

    The same options give the same corpus: its texts and voices everywhere, its samples on one machine. It is made at
    the first reading and kept in the cache, about 45 kB an utterance.

    Args:
        train_size: how many utterances to make for training; short sentences come more than once.
        val_size: for validation.
        test_size: for the test, like the validation's all of different sentences.
        seed: of the choice of sentences and voices.
        cache_dir: where recordings are kept; $POLYSEQ_CACHE or ~/.cache/polyseq without.

    Raises:
        ConfigError: a size is not positive.
    """

    def __init__(
        self,
        train_size: int = 2_000,
        val_size: int = 200,
        test_size: int = 300,
        seed: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        self.sizes: dict[Split, int] = {"train": train_size, "val": val_size, "test": test_size}
        for split, size in self.sizes.items():
            if size < 1:
                raise ConfigError(f"data.corpus.{split}_size must be at least 1, got {size}")
        if seed < 0:
            raise ConfigError(f"data.corpus.seed must be at least 0, got {seed}")
        self.seed = seed
        self.cache_dir = cache_dir

    def read(self, split: Split) -> list[Utterance]:
        """Reads one split, whole; ids count from 0. Makes the recordings of all splits if they aren't there.

        Raises:
            ConfigError: espeak-ng isn't installed, or there aren't so many new sentences for a held-out split.
        """
        requests = {each: self._requests(each, some) for each, some in self._draw().items()}
        folder = cached_recordings(requests, self.cache_dir or default_cache())
        return JsonlSpeech(folder / "train.jsonl", folder / "val.jsonl", folder / "test.jsonl").read(split)

    def sentences(self, split: Split) -> list[Sentence]:
        """What is said in a split, by id; nothing is synthesised for it."""
        return self._draw()[split]

    def topics(self, split: Split) -> list[str]:
        """What each utterance is, by id: its kind, and whether its sentence is in the training data: "time unseen"."""
        drawn = self._draw()
        seen = set(drawn["train"])
        return [f"{each.kind} {'seen' if each in seen else 'unseen'}" for each in drawn[split]]

    def _draw(self) -> dict[Split, list[Sentence]]:
        """What is said, by split."""
        writer = Writer(Random(f"sentences train {self.seed}"))  # a string seeds the same everywhere, with no hash()
        made: dict[Split, list[Sentence]] = {"train": [writer.draw() for _ in range(self.sizes["train"])]}
        for split in SPLITS[1:]:
            rng = Random(f"sentences {split} {self.seed}")
            known = dict.fromkeys(made["train"])
            seen = min(round(SEEN * self.sizes[split]), len(known))
            refused = {sentence.text for some in made.values() for sentence in some}
            made[split] = rng.sample(list(known), seen) + self._new(split, self.sizes[split] - seen, refused, rng)
            rng.shuffle(made[split])
        return made

    def _new(self, split: Split, size: int, refused: set[str], rng: Random) -> list[Sentence]:
        """Draws different sentences that no other split has."""
        writer = Writer(rng)
        made: dict[str, Sentence] = {}
        for _ in range(20 * size):
            if len(made) == size:
                break
            sentence = writer.draw()
            if sentence.text not in refused:
                made.setdefault(sentence.text, sentence)
        if len(made) < size:
            raise ConfigError(f"data.corpus.{split}_size is too large: there are only {len(made)} new sentences for it")
        return list(made.values())

    def _requests(self, split: Split, sentences: list[Sentence]) -> list[Request]:
        """Says who speaks each sentence, and how."""
        rng = Random(f"voices {split} {self.seed}")
        voices = assign(split, len(sentences), rng)
        manners = [Manner(v, rng.randint(*RATES), rng.randint(*PITCHES), rng.randint(*RANGES)) for v in voices]
        return [
            Request(f"audio/{split}/{row:05}.flac", sentence.text, manner, (self.seed, SPLITS.index(split), row))
            for row, (sentence, manner) in enumerate(zip(sentences, manners, strict=True))
        ]
