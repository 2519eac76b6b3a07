"""The built-in corpus: small worlds of people, places and things, told by our own code, with questions about them.

In the spirit of bAbI (Weston et al. 2015), but what is asked in one split is never asked in another: who was asked for
at a place in training is asked for at others in the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from core.data.corpus import Split
from core.errors import ConfigError
from tasks.qa.corpus import QaCorpus, QaExample, fraction

PEOPLE = ("Anna", "Boris", "Clara", "David", "Emma", "Felix", "Greta", "Hugo")
PLACES = ("kitchen", "garden", "office", "cellar", "library", "garage", "attic", "market")
THINGS = ("lamp", "book", "apple", "key", "coat", "map", "cup", "drum")
KINDS = ("person", "thing", "before", "carrier", "count")
NUMBERS = ("none", "one", "two", "three")

MOVES = ("{who} went to the {place}.", "{who} walked to the {place}.", "{who} moved to the {place}.")
TAKES = ("{who} took the {thing}.", "{who} picked up the {thing}.", "{who} got the {thing}.")
DROPS = ("{who} put down the {thing}.", "{who} left the {thing} there.", "{who} dropped the {thing}.")
SPLITS: tuple[tuple[Split, float], ...] = (("train", 0.7), ("val", 0.85), ("test", 1.0))


@dataclass
class World:
    """Where everybody and everything is, and the sentences that told it.

    Attributes:
        sentences: what was told.
        places: of each person that was named: where they were, one after another, each with its sentence's number.
        holders: of each thing that somebody holds: who, and the number of the sentence that told it.
        lying: of each thing that was put down: where, and the number of the sentence that told of the place.
    """

    sentences: list[str] = field(default_factory=list)
    places: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    holders: dict[str, tuple[str, int]] = field(default_factory=dict)
    lying: dict[str, tuple[str, int]] = field(default_factory=dict)

    def act(self, rng: Random) -> None:
        """Lets somebody go somewhere, take something or put something down."""
        who = rng.choice(PEOPLE[:6] if rng.random() < 0.5 else PEOPLE)
        held = [thing for thing, (holder, _) in self.holders.items() if holder == who]
        roll = rng.random()
        if who not in self.places or roll < 0.5:
            here = self.places[who][-1][0] if who in self.places else ""
            place = rng.choice([place for place in PLACES if place != here])
            self.places.setdefault(who, []).append((place, len(self.sentences)))
            self._tell(rng.choice(MOVES).format(who=who, place=place))
        elif held and roll < 0.65:
            self._put_down(who, rng.choice(held), rng)
        elif len(held) < 3:
            self._take(who, rng)

    def _take(self, who: str, rng: Random) -> None:
        here = self.places[who][-1][0]
        free = [
            thing
            for thing in THINGS
            if thing not in self.holders and (thing not in self.lying or self.lying[thing][0] == here)
        ]
        if free:
            thing = rng.choice(free)
            self.lying.pop(thing, None)
            self.holders[thing] = (who, len(self.sentences))
            self._tell(rng.choice(TAKES).format(who=who, thing=thing))

    def _put_down(self, who: str, thing: str, rng: Random) -> None:
        del self.holders[thing]
        self.lying[thing] = self.places[who][-1]
        self._tell(rng.choice(DROPS).format(who=who, thing=thing))

    def _tell(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def questions(self) -> Iterator[tuple[str, str, str, str, int]]:
        """All that may be asked: kind, what is asked for, question, answer, number of the answer's sentence or -1."""
        for who, visits in self.places.items():
            place, number = visits[-1]
            yield "person", who, f"Where is {who}?", place, number
            carried = sum(holder == who for holder, _ in self.holders.values())
            yield "count", who, f"How many things does {who} carry?", NUMBERS[carried], -1
            if len(visits) > 1:
                before, number = visits[-2]
                yield "before", who, f"Where was {who} before the {place}?", before, number
        for thing, (who, number) in self.holders.items():
            yield "carrier", thing, f"Who has the {thing}?", who, number
            yield "thing", thing, f"Where is the {thing}?", *self.places[who][-1]
        for thing, (place, number) in self.lying.items():
            yield "thing", thing, f"Where is the {thing}?", place, number


class BuiltInCorpus(QaCorpus):
    """Stories of people who go to places, take things and put them down, with one question each.

    Of each kind of question, a pair of what is asked for and its answer (Anna and the kitchen) belongs to one split
    alone; numbers of things, of which there are too few, belong to all. No story is told twice. The same seed gives
    the same corpus on all machines.

    Args:
        train: how many questions to make for training.
        val: for validation.
        test: for the test.
        kinds: of questions: where a person is, where a thing is, where somebody was before, who carries a thing, how
            many things somebody carries. The last one's answer is a word that isn't in the story: nothing for spans.
        sentences: the most sentences of a story; it has at least 3.
        seed: of the stories.

    Raises:
        ConfigError: a size is not positive, or there is no such kind.
    """

    has_kinds = True

    def __init__(
        self,
        train: int = 10_000,
        val: int = 500,
        test: int = 500,
        kinds: list[str] | None = None,
        sentences: int = 10,
        seed: int = 1,
    ) -> None:
        self.sizes: dict[Split, int] = {"train": train, "val": val, "test": test}
        self.kinds, self.sentences, self.seed = list(kinds or KINDS), sentences, seed
        for split, size in self.sizes.items():
            if size < 1:
                raise ConfigError(f"data.corpus.{split} must be at least 1, got {size}")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ConfigError(f"data.corpus.kinds must be of {', '.join(KINDS)}; got {unknown[0]!r}")
        if sentences < 3:
            raise ConfigError(f"data.corpus.sentences must be at least 3, got {sentences}")

    def read(self, split: Split) -> list[QaExample]:
        """Makes one split.

        Raises:
            ConfigError: there aren't as many different stories as were asked for.
        """
        rng = Random(f"{split} {self.seed}")  # a string seeds the same everywhere, with no hash()
        made: dict[tuple[str, str], QaExample] = {}
        for _ in range(100 * self.sizes[split]):
            example = self._question(split, self.kinds[len(made) % len(self.kinds)], rng)
            if example is not None:
                made.setdefault((example.context, example.question), example)
            if len(made) == self.sizes[split]:
                break
        else:
            raise ConfigError(f"data.corpus.{split} is {self.sizes[split]}, but only {len(made)} stories were found")
        return [
            QaExample(number, f"{split}-{number}", *_told(example), title=example.title)
            for number, example in enumerate(made.values())
        ]

    def _question(self, split: Split, kind: str, rng: Random) -> QaExample | None:
        """Tells a story and asks a question of a kind, if there is one for the split."""
        world, length = World(), rng.randint(3, self.sentences)
        while len(world.sentences) < length:
            world.act(rng)
        asked = [each for each in world.questions() if each[0] == kind and self._split(each) in (split, None)]
        if not asked:
            return None
        _, _, question, answer, number = rng.choice(asked)
        context = "\n".join(world.sentences)
        start = -1
        if number >= 0:
            begin = sum(len(sentence) + 1 for sentence in world.sentences[:number])
            start = begin + world.sentences[number].index(answer)
        return QaExample(0, "", context, question, (answer,), (start,), title=kind)

    def _split(self, asked: tuple[str, str, str, str, int]) -> Split | None:
        """The split that a pair of what is asked for and its answer belongs to; None for all."""
        kind, subject, _, answer, _ = asked
        if kind == "count":
            return None
        place = fraction(f"{kind} {subject} {answer} {self.seed}")
        return next(split for split, end in SPLITS if place < end)


def _told(example: QaExample) -> tuple[str, str, tuple[str, ...], tuple[int, ...]]:
    return example.context, example.question, example.answers, example.answer_starts
