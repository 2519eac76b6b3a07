"""What the caller demands of the generated tokens, beyond the options: prefixes, forbidden and required phrases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import ConfigError
from core.generation.options import GenerationOptions
from core.tokenization import Specials

Phrase = tuple[int, ...]


@dataclass(frozen=True)
class Constraints:
    """Demands on the hypotheses, as token ids without begin and end token.

    Attributes:
        prefixes: what each source's hypotheses begin with, one for each source, or a single one for all of them.
        forbidden: phrases that no hypothesis contains (a forced prefix may).
        required: phrases that every finished hypothesis contains, a tuple of them for each source, or a single tuple
            for all sources; phrases may overlap in the hypothesis.
    """

    prefixes: tuple[Phrase, ...] = ()
    forbidden: tuple[Phrase, ...] = ()
    required: tuple[tuple[Phrase, ...], ...] = ()

    def prefix_of(self, source: int) -> Phrase:
        """The prefix of the source with this number in its batch."""
        return _of(self.prefixes, source)

    def required_of(self, source: int) -> tuple[Phrase, ...]:
        """The phrases that the source with this number in its batch requires, each once."""
        return tuple(dict.fromkeys(_of(self.required, source)))

    def room_for(self, source: int) -> int:
        """A length in which all that the source demands fits."""
        return len(self.prefix_of(source)) + sum(map(len, self.required_of(source)))

    @property
    def banned(self) -> tuple[int, ...]:
        """The tokens that are forbidden by themselves."""
        return tuple(sorted({phrase[0] for phrase in self.forbidden if len(phrase) == 1}))


def _of(each: tuple[tuple, ...], source: int) -> tuple:  # type: ignore[type-arg]
    if not each:
        return ()
    return each[0] if len(each) == 1 else each[source]


def check_constraints(
    constraints: Constraints, options: GenerationOptions, specials: Specials, vocab_size: int, batch: int
) -> None:
    """Refuses demands that can't be met.

    Raises:
        ConfigError: a contradiction, between the constraints, or with the options, the vocabulary or the batch.
    """
    for name in ("prefixes", "required"):
        count = len(getattr(constraints, name))
        if count > 1 and count != batch:
            raise ConfigError(f"constraints.{name} has {count} entries for {batch} sources: give one for each, or one")
    for name, phrase in _phrases(constraints):
        _check_phrase(name, phrase, specials, vocab_size)
    _check_required(constraints, options)
    _check_room(constraints, options)
    writable = set(range(vocab_size)) - {specials.pad, specials.bos, specials.eos} - set(constraints.banned)
    if options.min_length and not writable and not constraints.prefixes:
        raise ConfigError(
            f"constraints.forbidden leaves no token of the {vocab_size} to write, but generation.min_length is "
            f"{options.min_length}: forbid fewer, or set min_length=0"
        )


def _phrases(constraints: Constraints) -> Iterator[tuple[str, Phrase]]:
    yield from (("prefixes", phrase) for phrase in constraints.prefixes if phrase)
    yield from (("forbidden", phrase) for phrase in constraints.forbidden)
    yield from (("required", phrase) for phrases in constraints.required for phrase in phrases)


def _check_phrase(name: str, phrase: Phrase, specials: Specials, vocab_size: int) -> None:
    if not phrase:
        raise ConfigError(f"constraints.{name} has an empty phrase: leave it out")
    for token in phrase:
        if not 0 <= token < vocab_size:
            raise ConfigError(f"constraints.{name} has the token {token}, but the vocabulary has {vocab_size} types")
        if token in (specials.pad, specials.bos, specials.eos):
            raise ConfigError(f"constraints.{name} has the special token {token}, which is no text: leave it out")


def _check_required(constraints: Constraints, options: GenerationOptions) -> None:
    if not any(constraints.required):
        return
    if options.sample or options.beam_size < 2:
        raise ConfigError(
            "constraints.required needs a beam search of at least 2 hypotheses, but generation.beam_size is "
            f"{options.beam_size} and generation.sample is {options.sample}: set beam_size=5, sample=false"
        )
    if options.preselect:
        raise ConfigError(
            f"constraints.required needs scores of all tokens, but generation.preselect is {options.preselect}: set it "
            "to 0"
        )
    for phrase in {phrase for phrases in constraints.required for phrase in phrases}:
        for other in constraints.forbidden:
            if _contains(phrase, other):
                raise ConfigError(f"constraints.required has {phrase}, but constraints.forbidden has {other} in it")


def _check_room(constraints: Constraints, options: GenerationOptions) -> None:
    for source in range(max(len(constraints.prefixes), len(constraints.required))):
        room = constraints.room_for(source)
        if room > options.max_length:
            raise ConfigError(
                f"constraints.prefixes and constraints.required take up to {room} tokens, but generation.max_length is "
                f"{options.max_length}: set max_length={room} or more"
            )


def _contains(phrase: Phrase, part: Phrase) -> bool:
    return any(phrase[start : start + len(part)] == part for start in range(len(phrase) - len(part) + 1))
