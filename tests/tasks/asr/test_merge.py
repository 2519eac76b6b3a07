from __future__ import annotations

import random

import pytest

from tasks.asr.merge import join_texts, merge_texts, merge_words
from tasks.asr.segments import Segment
from tasks.asr.words import Word

RATE = 100


def said(text: str, start: float, seconds: float = 0.4, score: float = -1.0) -> list[Word]:
    """A word each half second."""
    return [Word(word, start + 0.5 * k, start + 0.5 * k + seconds, score) for k, word in enumerate(text.split())]


def texts(words: list[Word]) -> str:
    return " ".join(word.text for word in words)


def test_segments_side_by_side_are_joined_as_they_are() -> None:
    segments = [Segment(0, 200), Segment(200, 400), Segment(900, 1000)]
    merged = merge_words(segments, [said("a b", 0.0), said("b c", 0.0), said("d", 0.1)], RATE)
    assert texts(merged) == "a b b c d"
    assert [word.start for word in merged] == pytest.approx([0.0, 0.5, 2.0, 2.5, 9.1])
    assert [word.end for word in merged] == pytest.approx([0.4, 0.9, 2.4, 2.9, 9.5])


def test_words_of_an_overlap_are_written_once() -> None:
    """0 to 3 and 2 to 5 seconds: both have the words at 2.0 and 2.5, and the second hears them a bit later."""
    words = [said("a b c d e f", 0.0), said("e f g h", 0.1)]
    merged = merge_words([Segment(0, 300), Segment(200, 500)], words, RATE)
    assert texts(merged) == "a b c d e f g h"
    assert [word.start for word in merged] == sorted(word.start for word in merged)


def test_each_side_is_believed_where_it_hears_best() -> None:
    """Each has an invention at its own edge, where a word was cut; "m", in the middle, is the word they share."""
    left = [Word("a", 0.0, 1.0), Word("m", 2.4, 2.6), Word("fals", 2.8, 3.0)]
    right = [Word("alse", 0.0, 0.2), Word("m", 0.4, 0.6), Word("falsify", 0.8, 1.3), Word("z", 2.0, 2.5)]
    assert texts(merge_words([Segment(0, 300), Segment(200, 500)], [left, right], RATE)) == "a m falsify z"


def test_case_and_punctuation_do_not_hide_a_shared_word() -> None:
    left, right = [Word("go", 0.0, 1.0), Word("Home.", 2.3, 2.7)], [Word("home", 0.3, 0.7), Word("now", 1.2, 1.6)]
    assert texts(merge_words([Segment(0, 300), Segment(200, 500)], [left, right], RATE)) == "go Home. now"


def test_word_that_was_said_twice_stays_twice() -> None:
    words = [said("one five five", 1.5, 0.3), said("five five two", 0.05, 0.3)]
    assert texts(merge_words([Segment(0, 300), Segment(200, 500)], words, RATE)) == "one five five two"


@pytest.mark.parametrize(("mine", "other"), [(-1.0, -2.0), (-2.0, -1.0)])
@pytest.mark.parametrize("shift", [-0.04, 0.04])  # both think that it is in their half, or both in the other's
def test_of_two_readings_of_a_word_in_the_middle_the_likelier_stays(mine: float, other: float, shift: float) -> None:
    left = [Word("a", 1.0, 1.2), Word("right", 2.3 + shift, 2.7 + shift, mine)]
    right = [Word("write", 0.3 - shift, 0.7 - shift, other), Word("b", 1.5, 2.0)]
    merged = merge_words([Segment(0, 300), Segment(200, 500)], [left, right], RATE)
    assert texts(merged) == ("a right b" if mine > other else "a write b")


def test_without_a_shared_word_each_tells_its_half() -> None:
    left, right = said("a b c d", 1.0), said("v w x y", 0.0)
    # The overlap is from 2 to 3 seconds; "c" and "v" are at 2.2, "d" and "w" at 2.7.
    assert texts(merge_words([Segment(0, 300), Segment(200, 500)], [left, right], RATE)) == "a b c w x y"


@pytest.mark.parametrize(("left", "right"), [("", "a b"), ("a b", ""), ("", "")])
def test_empty_transcripts_are_joined(left: str, right: str) -> None:
    parts = [said(left, 0.0), said(right, 1.5)]
    assert texts(merge_words([Segment(0, 300), Segment(200, 500)], parts, RATE)) == f"{left}{right}"
    assert merge_texts([Segment(0, 300), Segment(200, 500)], [left, right], RATE) == f"{left}{right}"


def test_no_segments_give_no_words() -> None:
    assert merge_words([], [], RATE) == []
    assert merge_texts([], [], RATE) == ""


def test_missing_transcript_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        merge_words([Segment(0, 300)], [], RATE)


@pytest.mark.parametrize("seed", range(20))
def test_recording_that_was_cut_is_whole_again(seed: int) -> None:
    """Few types, so that words repeat; each segment hears what lies in it, up to 0.1 s beside its time."""
    draw = random.Random(seed)
    truth = said(" ".join(draw.choices(["one", "two", "three"], k=60)), 0.0, 0.3)
    segments = [Segment(start, start + 1000) for start in range(0, 3000, 800)]
    heard = [
        [
            word.shifted(draw.uniform(-0.1, 0.1) - segment.start / RATE)
            for word in truth
            if segment.start <= word.start * RATE and word.end * RATE <= segment.end
        ]
        for segment in segments
    ]
    assert texts(merge_words(segments, heard, RATE)) == texts(truth)


# Without times


@pytest.mark.parametrize(
    ("left", "right", "joined"),
    [
        ("a b c d", "c d e f", "a b c d e f"),
        ("a b c d fals", "alse c d e", "a b c d e"),  # words that were cut are believed to neither
        ("a b c d", "e f g", "a b c d e f g"),
        ("the cat sat", "on the mat", "the cat sat on the mat"),  # a chance "the" is no overlap
        ("he said No.", "no he did", "he said No. he did"),
        ("we saw the old house", "the new house stood", "we saw the old house stood"),
        ("a a b", "b a a", "a a b a a"),
    ],
)
def test_texts_are_joined_where_they_agree(left: str, right: str, joined: str) -> None:
    assert " ".join(join_texts(left.split(), right.split(), most=10)) == joined


def test_only_as_many_words_as_the_overlap_holds_are_looked_at() -> None:
    left, right = ["x", "y", "a", "b"], ["x", "y", "c"]
    assert join_texts(left, right, most=2) == [*left, *right]
    assert join_texts(["a"], ["a"], most=0) == ["a", "a"]
    assert join_texts(["a"], ["a"], most=1) == ["a"]


@pytest.mark.parametrize("shared", range(6))
def test_any_overlap_of_distinct_words_is_found(shared: int) -> None:
    words = [f"w{number}" for number in range(20)]
    assert join_texts(words[: 10 + shared], words[10:], most=8) == words


def test_texts_of_segments_are_joined_by_their_overlap() -> None:
    segments = [Segment(0, 300), Segment(200, 500), Segment(500, 800)]
    # The first two share a second; the last two nothing, so that what looks the same was said twice.
    assert merge_texts(segments, ["a  b c", "b c d e", "d e f"], RATE) == "a b c d e d e f"
