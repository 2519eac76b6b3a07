"""Words with times as subtitles: SubRip (SRT) and WebVTT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from core.errors import ConfigError
from tasks.asr.words import Word

SENTENCE_ENDS = tuple(".?!…。？！")
CLAUSE_ENDS = tuple(",;:–—、，；：")
CLOSING = "\"'”’»)]"


@dataclass(frozen=True)
class CueOptions:
    """What one subtitle may hold; the defaults are what broadcasters and streaming services ask for.

    Attributes:
        max_seconds: how long it stands at most.
        min_seconds: how long it stands at least, where the next one leaves the time.
        line_length: characters in a line.
        max_lines: lines.
        pause_seconds: a pause this long between two words ends it.
    """

    max_seconds: float = 7.0
    min_seconds: float = 1.0
    line_length: int = 42
    max_lines: int = 2
    pause_seconds: float = 0.8

    def __post_init__(self) -> None:
        if not 0 <= self.min_seconds <= self.max_seconds or not self.max_seconds:
            raise ConfigError(
                f"subtitles.min_seconds must be in [0, max_seconds], and that above 0, got {self.min_seconds} and "
                f"{self.max_seconds}"
            )
        for name in ("line_length", "max_lines", "pause_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"subtitles.{name} must be above 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class Cue:
    """One subtitle.

    Attributes:
        start: when it appears, in milliseconds.
        end: when it goes, in milliseconds; after its start, and not after the next one's.
        lines: of text, at least one.
    """

    start: int
    end: int
    lines: tuple[str, ...]


def srt(words: Sequence[Word], options: CueOptions | None = None) -> str:
    """Writes SubRip: numbered cues, times with a comma, a blank line after each; no words give an empty text.

    The format knows no escapes: an arrow `-->` in a word becomes `->`, as players would read it as a time.
    """
    return "".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{_shortened(_joined(cue.lines))}\n\n"
        for number, cue in enumerate(cues(words, options), start=1)
    )


def vtt(words: Sequence[Word], options: CueOptions | None = None) -> str:
    """Writes WebVTT (W3C): a header, then cues; `&`, `<` and `>` are escaped, and with them the arrow `-->`."""
    return "WEBVTT\n" + "".join(
        f"\n{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{_escaped(_joined(cue.lines))}\n"
        for cue in cues(words, options)
    )


def cues(words: Sequence[Word], options: CueOptions | None = None) -> list[Cue]:
    """Puts words together to subtitles.

    A cue ends at a pause and at the end of a sentence that stood for `min_seconds`. One that grows too long for its
    lines or its time ends after the last sentence or clause in its second half, or else before the word that was too
    much. A word longer than a line goes on in the next.

    Args:
        words: in order of their starts.
        options: the limits.

    Returns:
        cues in order, whose times don't overlap.
    """
    options = options or CueOptions()
    parts = [part for word in words for part in _parts(word, options.line_length)]
    groups = [group for phrase in _phrases(parts, options) for group in _fitting(phrase, options)]
    return _timed(groups, options)


def _parts(word: Word, length: int) -> Iterator[Word]:
    """A word cut to parts that each fill a line but the last, with their shares of its time; nothing of a blank one."""
    text = " ".join(word.text.split())
    pace = (word.end - word.start) / max(len(text), 1)
    for first in range(0, len(text), length):
        behind = min(first + length, len(text))
        end = word.end if behind == len(text) else word.start + behind * pace
        yield Word(text[first:behind], word.start + first * pace, end, word.score)


def _phrases(words: Iterable[Word], options: CueOptions) -> list[list[Word]]:
    """Cuts at pauses, and at the ends of sentences that aren't over in an instant."""
    phrases: list[list[Word]] = []
    for word in words:
        last = phrases[-1][-1] if phrases else None
        if last is None or word.start - last.end >= options.pause_seconds or _sentence_over(phrases[-1], options):
            phrases.append([])
        phrases[-1].append(word)
    return phrases


def _sentence_over(phrase: Sequence[Word], options: CueOptions) -> bool:
    return _ends(phrase[-1], SENTENCE_ENDS) and phrase[-1].end - phrase[0].start >= options.min_seconds


def _ends(word: Word, signs: tuple[str, ...]) -> bool:
    return word.text.rstrip(CLOSING).endswith(signs)


def _fitting(phrase: list[Word], options: CueOptions) -> list[list[Word]]:
    """Cuts a phrase into parts that each fit a cue."""
    groups: list[list[Word]] = []
    while phrase:
        count = 1
        while count < len(phrase) and _fits(phrase[: count + 1], options):
            count += 1
        if count < len(phrase):
            count = _best_break(phrase[:count])
        groups.append(phrase[:count])
        phrase = phrase[count:]
    return groups


def _fits(words: Sequence[Word], options: CueOptions) -> bool:
    short = words[-1].end - words[0].start <= options.max_seconds
    return short and len(_lines(words, options)) <= options.max_lines


def _best_break(words: Sequence[Word]) -> int:
    """After how many words to end a cue: at a sentence's end or else a clause's, unless much would be left out."""
    for signs in (SENTENCE_ENDS, CLAUSE_ENDS):
        for count in range(len(words), len(words) // 2, -1):
            if _ends(words[count - 1], signs):
                return count
    return len(words)


def _lines(words: Sequence[Word], options: CueOptions) -> list[str]:
    return wrap(" ".join(word.text for word in words), options.line_length, break_on_hyphens=False)


def _timed(groups: Sequence[Sequence[Word]], options: CueOptions) -> list[Cue]:
    """Gives each group its time in whole milliseconds: none ends after the next one's start, or at its own."""
    starts = [_milliseconds(group[0].start) for group in groups]
    timed: list[Cue] = []
    for place, group in enumerate(groups):
        start = max(starts[place], timed[-1].end if timed else 0)
        end = _milliseconds(max(word.end for word in group))
        end = max(end, start + _milliseconds(options.min_seconds))
        end = min(end, start + _milliseconds(options.max_seconds), *starts[place + 1 : place + 2])
        timed.append(Cue(start, max(end, start + 1), tuple(_lines(group, options))))
    return timed


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _time(milliseconds: int, point: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _shortened(text: str) -> str:
    return re.sub("--+>", "->", text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
