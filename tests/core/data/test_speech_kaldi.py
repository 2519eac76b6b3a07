from __future__ import annotations

from pathlib import Path

import pytest

from core.audio.clip import AudioClip
from core.data.speech import Utterance
from core.data.speech_kaldi import KaldiSpeech
from core.errors import ConfigError, DataError


def directory(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / name.replace("wav_scp", "wav.scp")).write_text(text)
    return path


def test_whole_files(tmp_path: Path) -> None:
    directory(tmp_path, wav_scp="u2 b.flac\nu1\t/far/my file.wav\n", text="u1 ONE TWO\nu2\n")
    assert KaldiSpeech(train=tmp_path).read("train") == [
        Utterance(0, AudioClip(tmp_path / "b.flac"), "", "u2"),
        Utterance(1, AudioClip(Path("/far/my file.wav")), "ONE TWO", "u1"),
    ]


def test_segments_and_speakers(tmp_path: Path) -> None:
    directory(
        tmp_path,
        wav_scp="r1 a.wav\n",
        segments="u1 r1 0.5 2.0\nu2 r1 3 -1\n",
        text="u2 TWO\nu1 ONE \u3000 1\n",
        utt2spk="u1 mia\nu2 leo\n",
    )
    assert KaldiSpeech(test=tmp_path, audio_folder=tmp_path / "wav").read("test") == [
        Utterance(0, AudioClip(tmp_path / "wav/a.wav", offset=0.5, duration=1.5), "ONE \u3000 1", "u1", "mia", 1.5),
        Utterance(1, AudioClip(tmp_path / "wav/a.wav", offset=3.0), "TWO", "u2", "leo"),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"wav_scp": "u1 a.wav\nu2 touch CANARY; cat b.wav |\n"},
            r"wav\.scp:2: has a command, and commands are not run",
        ),
        ({"wav_scp": "u1 a.ark:17\n"}, r"wav\.scp:1: must name a sound file .*got a\.ark:17"),
        ({"wav_scp": "u1 -\n"}, r"wav\.scp:1: must name a sound file .*got -"),
        ({"wav_scp": "u1\n"}, r"wav\.scp:1: names no file"),
        ({"wav_scp": "u1 a.wav\nu1 b.wav\n"}, r"wav\.scp:2: 'u1' stands in line 1 already"),
        ({"wav_scp": "u1 a.wav\n\n"}, r"wav\.scp:2: a line must begin with a name"),
        ({"wav_scp": "u1 a.wav\nu2 b.wav\n"}, r"text: there is no line for the utterance 'u2'; .*fix_data_dir"),
        ({"text": "u1 ONE\nu3 THREE\n"}, r"text:2: there is no sound for 'u3'"),
        ({"utt2spk": "u2 mia\n"}, r"utt2spk:1: there is no sound for 'u2'"),
        ({"segments": "u1 r1 0 1\n"}, r"segments:1: there is no recording 'r1' in wav\.scp"),
        ({"segments": "u1 u1 0\n"}, r"segments:1: must be: utterance recording start end; .* it has 'u1 0'"),
        ({"segments": "u1 u1 0 1 A\n"}, r"segments:1: must be: utterance recording start end"),
        ({"segments": "u1 u1 0 x\n"}, r"segments:1: start and end must be seconds, got 0 x"),
        ({"segments": "u1 u1 2 1\n"}, r"segments:1: the end must lie behind the start, got 2 1"),
        ({"segments": "u1 u1 -1 1\n"}, r"segments:1: the end must lie behind the start, got -1 1"),
        ({"segments": "u1 u1 0 nan\n"}, r"segments:1: the end must lie behind the start, got 0 nan"),
    ],
)
def test_what_can_not_be_used_is_refused_with_its_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    directory(tmp_path, **{"wav_scp": "u1 a.wav\n", "text": "u1 ONE\n", **files})
    with pytest.raises(DataError, match=message):
        KaldiSpeech(train=tmp_path).read("train")
    assert not Path("CANARY").exists()


def test_a_directory_that_is_missing_or_not_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/text: there is no such file"):
        KaldiSpeech(train=tmp_path / "none").read("train")
    with pytest.raises(ConfigError, match="the corpus has no test split"):
        KaldiSpeech(train=tmp_path).read("test")
