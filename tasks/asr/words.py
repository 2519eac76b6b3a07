"""Recognised words with their times, and how tokens' times become them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from core.ctc.align import TokenSpan, forced_align
from core.errors import ConfigError, DataError
from core.tokenization import TrainedTokenizer


@dataclass(frozen=True)
class Word:
    """One recognised word, its punctuation included.

    Attributes:
        text: as it is written, without white space.
        start: when it begins, in seconds.
        end: when it ends, in seconds.
        score: the mean log-probability of its tokens in their frames; at or below zero.
    """

    text: str
    start: float
    end: float
    score: float = 0.0

    @property
    def middle(self) -> float:
        """The time halfway between its start and end."""
        return (self.start + self.end) / 2

    def shifted(self, seconds: float) -> Word:
        """The same word, said later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


def aligned_words(
    log_probs: Tensor, tokens: Sequence[int], tokenizer: TrainedTokenizer, seconds_per_state: float
) -> tuple[Word, ...]:
    """Where CTC puts the words of a transcript in its sound; none where the sound is too short to hold them.

    Args:
        log_probs: (S, V) of the labels and the blank, which is the padding's id, at each state.
        tokens: the transcript's, without the end token.
        tokenizer: that they are of.
        seconds_per_state: the time from one state to the next.
    """
    try:
        spans = forced_align(log_probs, tokens, tokenizer.specials.pad)
    except DataError:  # attention wrote more than the sound can hold
        return ()
    return tuple(words_of(tokenizer, spans, seconds_per_state))


def words_of(tokenizer: TrainedTokenizer, spans: Sequence[TokenSpan], seconds_per_state: float) -> list[Word]:
    """Groups a tokenizer's tokens to words; specials other than the unknown token are left out.

    Args:
        tokenizer: of any kind: where a word begins is told by the space that its first piece holds.
        spans: of the tokens in order, in states of the memory, as `forced_align` returns them.
        seconds_per_state: the time from one state to the next.

    Raises:
        ConfigError: `seconds_per_state` isn't above 0.
    """
    specials = tokenizer.specials
    kept = [span for span in spans if span.token not in (specials.pad, specials.bos, specials.eos)]
    return group_words([_bytes(tokenizer, span.token) for span in kept], kept, seconds_per_state)


def group_words(pieces: Sequence[bytes], spans: Sequence[TokenSpan], seconds_per_state: float) -> list[Word]:
    """Groups pieces to words; a word begins at white space, which may be a piece's first letter or a piece by itself.

    Args:
        pieces: the text that each token stands for, in UTF-8; a character may be spread over several.
        spans: the tokens', as many.
        seconds_per_state: the time from one state to the next.

    Raises:
        ConfigError: `seconds_per_state` isn't above 0.
        ValueError: there are more pieces than spans, or fewer.
    """
    if seconds_per_state <= 0:
        raise ConfigError(f"seconds_per_state must be above 0, got {seconds_per_state}")
    groups: list[list[tuple[bytes, TokenSpan]]] = [[]]
    for piece, span in zip(pieces, spans, strict=True):
        if piece[:1].isspace():
            groups.append([])
        if piece.strip():  # the time of a space by itself belongs to no word
            groups[-1].append((piece, span))
    return [_word(group, seconds_per_state) for group in groups if group]


def _word(group: Sequence[tuple[bytes, TokenSpan]], seconds_per_state: float) -> Word:
    text = b"".join(piece for piece, _ in group).decode("utf-8", "replace").strip()
    spans = [span for _, span in group]
    states = sum(span.end - span.start for span in spans)
    score = sum(span.score * (span.end - span.start) for span in spans) / max(states, 1)
    return Word(text, spans[0].start * seconds_per_state, spans[-1].end * seconds_per_state, score)


def _bytes(tokenizer: TrainedTokenizer, token: int) -> bytes:
    first = len(tokenizer) - len(tokenizer.pieces)  # the specials come before
    if token < first:
        return tokenizer.unknown.encode("utf-8")
    return tokenizer.piece_bytes(tokenizer.pieces[token - first])
