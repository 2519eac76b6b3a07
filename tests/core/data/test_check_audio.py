from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from core.audio.clip import AudioClip
from core.audio.read import read_audio
from core.data.audio_report import AudioReport
from core.data.check_audio import AudioLimits, audio_table, check_utterances
from core.data.findings import Finding
from core.data.speech import Utterance
from core.errors import ConfigError, DataError
from tests.core.data.speech import write_noise


def said(path: Path, text: str = "ONE") -> Utterance:
    return Utterance(0, AudioClip(path), text, path.name)


def numbered(*utterances: Utterance) -> list[Utterance]:
    return [replace(utterance, id=row) for row, utterance in enumerate(utterances)]


def corpus(folder: Path) -> list[Utterance]:
    """One utterance of each kind; the second and the last three can be used."""
    (folder / "text.wav").write_text("no sound")
    return numbered(
        said(folder / "text.wav"),
        said(write_noise(folder / "good.wav", 1.0)),
        said(folder / "missing.wav"),
        said(write_noise(folder / "nothing.wav", 0.0)),
        said(write_noise(folder / "silent.wav", 1.0), " "),
        said(write_noise(folder / "short.wav", 0.09)),
        said(write_noise(folder / "long.wav", 3.1)),
        replace(said(write_noise(folder / "claims.flac", 2.0)), duration=2.2, sample_rate=8000),
        replace(said(write_noise(folder / "rounded.flac", 2.04)), duration=2.0, sample_rate=16000),
        said(write_noise(folder / "other.wav", 1.0, rate=44100)),
    )


def test_what_is_found_is_counted_and_named(tmp_path: Path) -> None:
    kept, lengths, report = check_utterances(corpus(tmp_path), 16000, AudioLimits(0.1, 3.0))
    assert [utterance.id for utterance in kept] == [1, 7, 8, 9]
    assert [utterance.name for utterance in kept] == ["good.wav", "claims.flac", "rounded.flac", "other.wav"]
    assert [(utterance.duration, utterance.sample_rate) for utterance in kept] == [
        (1.0, 16000), (2.0, 16000), (2.04, 16000), (1.0, 44100),
    ]  # fmt: skip
    assert lengths.tolist() == [16000, 32000, 32640, 16000]
    assert lengths.tolist() == [len(read_audio(utterance.audio, 16000)) for utterance in kept]
    assert (report.utterances, report.kept) == (10, 4)
    assert report.hours == pytest.approx(6.04 / 3600)
    unreadable = report.findings["unreadable"]
    assert (unreadable.count, unreadable.dropped) == (2, True)
    assert unreadable.examples[1] == f"{tmp_path / 'missing.wav'}: there is no such file"
    assert {name: each for name, each in report.findings.items() if name != "unreadable"} == {
        "no sound": Finding(1, ("nothing.wav",), True),
        "no text": Finding(1, ("silent.wav",), True),
        "too short": Finding(1, ("short.wav: 0.090 s, at least 0.1 s are wanted",), True),
        "too long": Finding(1, ("long.wav: 3.1 s, at most 3 s are wanted",), True),
        "rate": Finding(1, ("claims.flac: 16000 Hz, claimed are 8000 Hz",), False),
        "duration": Finding(1, ("claims.flac: 2.00 s, claimed are 2.20 s",), False),
        "resampled": Finding(1, ("from 44100 Hz to the model's 16000 Hz",), False),
    }


def test_in_evaluation_only_what_has_no_sound_is_left_out(tmp_path: Path) -> None:
    kept, _, report = check_utterances(corpus(tmp_path), 16000, empty_is_bad=False)
    assert [utterance.id for utterance in kept] == [1, 4, 5, 6, 7, 8, 9]
    assert not report.findings["no text"].dropped
    assert not {"too short", "too long"} & set(report.findings)


def test_bad_examples_are_an_error_if_wanted(tmp_path: Path) -> None:
    utterances = corpus(tmp_path)
    with pytest.raises(
        DataError, match=r"of 10 utterances 2 can't be read \(.*missing\.wav: there is no such file"
    ) as e:
        check_utterances(utterances, 16000, on_bad_example="raise")
    for part in (
        "1 have no sound: 0 samples (nothing.wav)",
        "1 have no transcript (silent.wav)",
        "skip leaves them out",
    ):
        assert part in str(e.value)
    good = [utterances[row] for row in (1, 5, 6, 7, 8, 9)]  # what is too short or too long was asked for by the limits
    kept, _, _ = check_utterances(good, 16000, AudioLimits(0.1, 3.0), on_bad_example="raise")
    assert len(kept) == 4


def test_segments_have_their_own_lengths(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "a.flac", 3.0, rate=8000)
    clips = [AudioClip(path, offset=1.0, duration=0.5), AudioClip(path, offset=2.5), AudioClip(path, offset=3.5)]
    utterances = numbered(*(Utterance(0, clip, "ONE", "a", duration=clip.duration) for clip in clips))
    kept, lengths, report = check_utterances(utterances, 16000)
    assert [utterance.id for utterance in kept] == [0, 1]
    assert lengths.tolist() == [8000, 8000]
    assert (
        report.findings["unreadable"]
        .examples[0]
        .endswith("the segment starts at or beyond the end of the sound, at 3 s")
    )
    assert "duration" not in report.findings


def test_sound_in_memory(tmp_path: Path) -> None:
    data = [write_noise(tmp_path / f"{seconds}.wav", seconds).read_bytes() for seconds in (1.0, 2.0)]
    utterances = numbered(*(Utterance(0, AudioClip(data=each), "ONE", "a") for each in [*data, b"nothing"]))
    kept, lengths, report = check_utterances(utterances, 8000)
    assert lengths.tolist() == [8000, 16000]
    assert len(kept) == 2
    assert report.findings["unreadable"].count == 1


def test_damage_behind_the_header_is_found_by_decoding(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "a.flac", 2.0)
    path.write_bytes(path.read_bytes()[:20000])
    utterances = numbered(said(path), said(write_noise(tmp_path / "b.flac", 1.0)))
    assert check_utterances(utterances, 16000)[2].kept == 2
    kept, lengths, report = check_utterances(utterances, 16000, decode=True)
    assert [utterance.name for utterance in kept] == ["b.flac"]
    assert lengths.tolist() == [16000]
    assert report.findings["unreadable"].examples[0].startswith(f"{path}: can't be decoded: ")


def test_nothing_to_check() -> None:
    kept, lengths, report = check_utterances([], 16000)
    assert (kept, len(lengths), report) == ([], 0, AudioReport(0, 0, 0.0, {}))


@pytest.mark.parametrize("limits", [(-0.1, 1.0), (1.0, 1.0), (2.0, 1.0), (math.nan, None)])
def test_limits_that_contradict_each_other_are_refused(limits: tuple[float, float | None]) -> None:
    with pytest.raises(ConfigError, match=r"data\.min_seconds must be at least 0 and below data\.max_seconds, got "):
        AudioLimits(*limits)


def test_the_report_can_be_read() -> None:
    examples = tuple(f"{name}.wav: there is no such file" for name in "abcde")
    resampled = Finding(1000, ("from 8000 Hz to the model's 16000 Hz",), False)
    report = AudioReport(1234, 1227, 1.5, {"unreadable": Finding(7, examples, True), "resampled": resampled})
    assert audio_table({"train": report}).splitlines() == [
        "train: 1,234 utterances, 1,227 of them usable: 1.50 hours",
        "       7 can't be read, left out",
        *(f"         {example}" for example in examples),
        "         and 2 more",
        "   1,000 are resampled",
        "         from 8000 Hz to the model's 16000 Hz",
    ]
