from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest

from core.errors import ConfigError
from tasks.asr.subtitles import CueOptions, cues, srt, vtt
from tasks.asr.words import Word


def said(text: str, start: float = 0.0, pace: float = 0.25) -> list[Word]:
    """Words one after the other without a pause."""
    return [Word(word, start + pace * k, start + pace * (k + 1)) for k, word in enumerate(text.split())]


# "there" ends at 1.5 and the next word begins at 3.25; the last word is said after an hour.
BY_HAND = [
    Word("Hello", 0.5, 1.0),
    Word("there", 1.0, 1.5),
    Word("A", 3.25, 3.5),
    Word("<b>", 3.5, 3.75),
    Word("&", 3.75, 4.0),
    Word("-->", 4.0, 5.0625),
    Word("end", 3723.0045, 3725.0),
]


def test_srt_by_hand() -> None:
    assert srt(BY_HAND) == (
        "1\n00:00:00,500 --> 00:00:01,500\nHello there\n\n"
        "2\n00:00:03,250 --> 00:00:05,062\nA <b> & ->\n\n"
        "3\n01:02:03,004 --> 01:02:05,000\nend\n\n"
    )


def test_vtt_by_hand() -> None:
    assert vtt(BY_HAND) == (
        "WEBVTT\n"
        "\n00:00:00.500 --> 00:00:01.500\nHello there\n"
        "\n00:00:03.250 --> 00:00:05.062\nA &lt;b&gt; &amp; --&gt;\n"
        "\n01:02:03.004 --> 01:02:05.000\nend\n"
    )


def test_no_words_give_an_empty_file() -> None:
    assert srt([]) == ""
    assert vtt([]) == "WEBVTT\n"
    assert cues([Word(" ", 0.0, 1.0)]) == []


def test_no_line_of_text_can_be_read_as_a_time() -> None:
    words = [Word(text, 0.1 * k, 0.1 * k + 0.1) for k, text in enumerate(["--->", "00:00:01,000-->", "<-->", "a\n\nb"])]
    for written in (srt(words), vtt(words)):
        assert written.count("-->") == 1
        assert written.strip().count("\n\n") == (1 if written.startswith("WEBVTT") else 0)


def test_text_is_put_on_two_lines_of_at_most_42() -> None:
    first = "one two three four five six seven eight ni"  # 42 characters
    (cue,) = cues(said(f"{first} ten eleven", pace=0.1))
    assert cue.lines == (first, "ten eleven")


def test_cue_that_is_too_long_ends_at_a_sentence_or_clause_or_else_where_it_is_full() -> None:
    words = "aaaaaaaaa " * 12
    full = cues(said(words, pace=0.1))
    assert [" ".join(cue.lines).count("a") // 9 for cue in full] == [8, 4]  # four words of 9 in each line of 42
    for sign in ".,":
        places = words.split()
        places[5] += sign
        broken = cues(said(" ".join(places), pace=0.1))
        assert [" ".join(cue.lines).count("a") // 9 for cue in broken] == [6, 6]


def test_cue_ends_at_the_end_of_a_sentence_that_took_its_time() -> None:
    long, short = said("This took a while. Next.", pace=0.5), said("Yes. I do.", pace=0.25)
    assert [cue.lines for cue in cues(long)] == [("This took a while.",), ("Next.",)]
    assert [cue.lines for cue in cues(short)] == [("Yes. I do.",)]
    quoted = said('He said "no way." Then left.', pace=0.5)
    assert [cue.lines for cue in cues(quoted)] == [('He said "no way."',), ("Then left.",)]


def test_cue_stands_no_longer_than_seven_seconds() -> None:
    assert [(cue.start, cue.end) for cue in cues(said("a b c d e f g h i j", pace=0.75))] == [(0, 6750), (6750, 7750)]
    assert [(cue.start, cue.end) for cue in cues([Word("drawn", 1.0, 11.0)])] == [(1000, 8000)]


def test_short_cue_stands_a_second_where_the_next_leaves_it() -> None:
    words = [Word("a", 0.0, 0.1), Word("b", 0.95, 1.1), Word("c", 5.0, 5.1)]
    assert [(cue.start, cue.end) for cue in cues(words)] == [(0, 950), (950, 1950), (5000, 6000)]


def test_word_longer_than_a_line_goes_on_in_the_next() -> None:
    found = cues([Word("go", 0.0, 0.5), Word("x" * 100, 0.5, 10.5)])
    assert [line for cue in found for line in cue.lines] == ["go", "x" * 42, "x" * 42, "x" * 16]
    assert [(cue.start, cue.end) for cue in found] == [(0, 4700), (4700, 10500)]


@pytest.mark.parametrize("seed", range(20))
def test_limits_are_kept_and_nothing_is_lost(seed: int) -> None:
    draw = random.Random(seed)
    words, time = [], 0.0
    for _ in range(200):
        start = time + draw.choice([0.0, 0.0, 0.01, 0.3, 2.0]) - draw.choice([0.0, 0.0, 0.05])
        time = max(start, 0.0) + draw.choice([0.0, 0.0004, 0.1, 0.3, 0.3, 9.0])
        text = "".join(draw.choices("abc.,", k=draw.choice([1, 3, 5, 8, 60])))
        words.append(Word(text, max(start, 0.0), time))
    found = cues(words)
    assert "".join(line for cue in found for line in cue.lines).replace(" ", "") == "".join(w.text for w in words)
    for cue in found:
        assert 0 <= cue.start < cue.end <= cue.start + 7000
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < len(line) <= 42 for line in cue.lines)
    assert all(left.end <= right.start for left, right in pairwise(found))
    times = re.findall(r"^\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}$", srt(words), re.MULTILINE)
    assert len(times) == len(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_seconds": 8.0}, "min_seconds must be in .*, got 8.0 and 7.0"),
        ({"min_seconds": 0.0, "max_seconds": 0.0}, "got 0.0 and 0.0"),
        ({"line_length": 0}, "line_length must be above 0, got 0"),
        ({"pause_seconds": 0.0}, "pause_seconds must be above 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CueOptions(**options)
