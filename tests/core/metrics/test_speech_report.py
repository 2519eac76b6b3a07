from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import DataError
from core.metrics.alignment import Alignment, align_words
from core.metrics.base import Scored
from core.metrics.speech import WordErrorRate
from core.metrics.speech_report import side_by_side, speaker_table, speech_report, write_speech_report

EXAMPLES = (
    Scored(0, "go off to home", ("GO ON home",), "a.wav"),
    Scored(1, "", ("yes we can",)),
    Scored(2, "uh", ("",)),
    Scored(3, "off we go", ("on we go",)),
    Scored(4, "right", ("right",)),
)
SPEAKERS = {0: "anna", 1: "anna", 2: "bert", 4: "bert"}


def sections(report: str) -> dict[str, str]:
    """The report's parts by their first lines."""
    parts = report.split("\n\n")
    return dict(part.partition("\n")[::2] for part in parts)


def test_speaker_table_by_hand() -> None:
    alignments = align_words(EXAMPLES, str.lower)
    assert speaker_table(alignments, SPEAKERS) == (
        "speaker    utterances  words     WER      S      D       I\n"
        "bert                2      1  100.00   0.00   0.00  100.00\n"
        "anna                2      6   83.33  16.67  50.00   16.67\n"
        "(unknown)           1      3   33.33  33.33   0.00    0.00\n"
        "all                 5     10   70.00  20.00  30.00   20.00\n"
    )


def test_side_by_side_by_hand() -> None:
    alignment = Alignment(0, (("go", "go"), (None, "off"), ("on", "to"), ("home", None)))
    assert side_by_side(alignment) == (
        "REF:  go *** on home\n"  # three stars where nobody said a word of three letters
        "HYP:  go off to ****\n"
        "Eval:    I   S  D\n"
    )


def test_side_by_side_of_silence() -> None:
    assert side_by_side(Alignment(0, ())) == "REF:\nHYP:\nEval:\n"


def test_wide_characters_take_two_columns() -> None:
    assert side_by_side(Alignment(0, (("東京", "kyo"), ("b", "c")))) == (
        "REF:  東京 b\n"
        "HYP:  kyo  c\n"
        "Eval: S    S\n"
    )  # fmt: skip


def test_long_utterances_are_cut_into_blocks_of_the_width() -> None:
    words = tuple(f"w{number}" for number in range(50))
    text = side_by_side(Alignment(0, tuple((word, None) for word in words)), width=40)
    blocks = text.split("\n\n")
    assert len(blocks) > 1
    assert max(map(len, text.splitlines())) <= 40
    assert " ".join(block.splitlines()[0].removeprefix("REF:  ") for block in blocks).split() == list(words)


def test_report_has_every_part() -> None:
    report = speech_report(EXAMPLES, SPEAKERS, "lower")
    metric = WordErrorRate("lower")
    score = metric.score(EXAMPLES)["wer"]
    title = f"WER {score.value:.2f} %: 10 words, errors 7 (S 2, D 3, I 2), 5 utterances"
    assert report.startswith(f"{title}\n{score.signature}\n")
    parts = sections(report)
    assert parts["Confusions (reference, hypothesis)"] == "on -> off  1\non -> to   1"
    assert parts["Deletions"] == "can  1\nwe   1\nyes  1"
    assert parts["Insertions"] == "off  1\nuh   1"
    assert parts["Speakers"] + "\n" == speaker_table(align_words(EXAMPLES, str.lower), SPEAKERS)
    assert parts["Alignments"].startswith("0 anna a.wav: 3 words, errors 2 (S 1, D 0, I 1)\nREF:  go *** on home\n")


def test_worst_utterances_come_first_and_right_ones_not_at_all() -> None:
    worst = sections(speech_report(EXAMPLES, SPEAKERS, "lower"))["Worst utterances"].splitlines()
    assert [line.split(":")[0] for line in worst[::3]] == ["1 anna", "0 anna a.wav", "2 bert", "3"]
    assert worst[1:3] == ["  REF: yes we can", "  HYP:"]


def test_most_frequent_errors_come_first_and_the_rest_are_counted() -> None:
    many = [Scored(row, "x", (f"once{row:02}",)) for row in range(22)]
    twice = [Scored(row, "b", ("a",)) for row in (90, 91)]
    confusions = sections(speech_report([*many, *twice], {}))["Confusions (reference, hypothesis)"].splitlines()
    assert confusions[0].split() == ["a", "->", "b", "2"]
    assert confusions[1].split() == ["once00", "->", "x", "1"]
    assert len(confusions) == 21
    assert confusions[-1] == "and 3 more"


def test_perfect_corpus_has_no_errors_to_show() -> None:
    parts = sections(speech_report([Scored(0, "a", ("a",))], {}))
    assert [parts[title] for title in ("Worst utterances", "Deletions", "Insertions")] == ["none"] * 3


def test_report_is_written_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.txt"
    examples = [Scored(0, "grün", ("grüß",))]
    write_speech_report(path, examples, {}, "lower")
    assert path.read_text(encoding="utf-8") == speech_report(examples, {}, "lower")
    assert "grüß -> grün" in path.read_text(encoding="utf-8")


def test_example_without_reference_is_refused() -> None:
    with pytest.raises(DataError, match="no reference"):
        speech_report([Scored(0, "a", ())], {})
