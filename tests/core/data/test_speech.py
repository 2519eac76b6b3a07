from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.audio.clip import AudioClip
from core.data.speech import SplitSpeech, Utterance, hold_out_utterances
from core.data.speech_folder import FolderSpeech
from core.data.speech_manifests import JsonlSpeech, ManifestSpeech, TableSpeech
from core.errors import ConfigError, DataError


def jsonl(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


# Manifests


def test_jsonl_with_all_fields_and_with_few(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "train.jsonl",
        {"audio": "a/1.wav", "text": "ONE", "speaker": "mia", "duration": 1.5, "sample_rate": 8000},
        {"audio": "/far/2.wav", "text": "", "speaker": 7, "duration": None},
    )
    assert JsonlSpeech(train=path).read("train") == [
        Utterance(0, AudioClip(tmp_path / "a/1.wav"), "ONE", "a/1.wav", "mia", 1.5, 8000),
        Utterance(1, AudioClip(Path("/far/2.wav")), "", "/far/2.wav", "7"),
    ]


def test_an_offset_makes_a_segment(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "train.jsonl",
        {"audio": "1.wav", "text": "ONE", "offset": 2.5, "duration": 1.5},
        {"audio": "1.wav", "text": "TWO", "offset": 0},
    )
    first, second = JsonlSpeech(train=path, audio_folder=tmp_path / "clips").read("train")
    assert first.audio == AudioClip(tmp_path / "clips/1.wav", offset=2.5, duration=1.5)
    assert (first.name, first.duration) == ("1.wav@2.5", 1.5)
    assert second.audio == AudioClip(tmp_path / "clips/1.wav")
    assert second.name == "1.wav@0"


def test_columns_by_other_names_and_nested(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"wav": {"path": "1.wav"}, "said": "ONE", "who": "mia", "seconds": "1.5"})
    corpus = JsonlSpeech(
        test=path, audio_column="wav.path", text_column="said", speaker_column="who", duration_column="seconds"
    )
    assert corpus.read("test") == [Utterance(0, AudioClip(tmp_path / "1.wav"), "ONE", "1.wav", "mia", 1.5)]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
def test_tables(tmp_path: Path, name: str) -> None:
    comma = "," if name == "a.csv" else "\t"
    text = '"ONE, ""TWO"""' if name == "a.csv" else 'ONE, "TWO"'
    rows = [["speaker", "text", "audio", "duration"], ["mia", text, "1.wav", "1.5"], [], ["", "", "2.wav", ""]]
    (tmp_path / name).write_text("\n".join(comma.join(row) for row in rows) + "\n")
    assert TableSpeech(train=tmp_path / name).read("train") == [
        Utterance(0, AudioClip(tmp_path / "1.wav"), 'ONE, "TWO"', "1.wav", "mia", 1.5),
        Utterance(1, AudioClip(tmp_path / "2.wav"), "", "2.wav"),
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "ONE"}, "there is no column 'audio'"),
        ({"audio": "1.wav", "txt": "ONE"}, r"there is no column 'text'; did you mean 'txt'\?"),
        ({"audio": 1, "text": "ONE"}, "'audio' must be text, got int"),
        ({"audio": "", "text": "ONE"}, "'audio' is empty: a path is needed"),
        ({"audio": "1.wav", "text": None}, "'text' must be text, got NoneType"),
        ({"audio": "1.wav", "text": "ONE", "speaker": ["mia"]}, "'speaker' must be text, got list"),
        ({"audio": "1.wav", "text": "ONE", "duration": "long"}, "'duration' must be a number .* got 'long'"),
        ({"audio": "1.wav", "text": "ONE", "duration": -1}, "'duration' must be a number .* got -1"),
        ({"audio": "1.wav", "text": "ONE", "offset": True}, "'offset' must be a number .* got True"),
        ({"audio": "1.wav", "text": "ONE", "sample_rate": float("nan")}, "'sample_rate' must be a number .* got nan"),
        ({"audio": "1.wav", "text": "ONE", "offset": 1, "duration": 0}, "a segment must be longer than 0 seconds"),
    ],
)
def test_a_bad_record_is_refused_with_its_line(tmp_path: Path, record: object, message: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"audio": "1.wav", "text": "ONE"}, record)
    with pytest.raises(DataError, match=rf"a\.jsonl:2: {message}"):
        JsonlSpeech(train=path).read("train")


def test_a_column_that_is_named_must_be_there(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"audio": "1.wav", "text": "ONE", "speaker": "mia"})
    with pytest.raises(DataError, match=r"a\.jsonl:1: there is no column 'speakers'; did you mean 'speaker'\?"):
        JsonlSpeech(train=path, speaker_column="speakers").read("train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audio\ttxt\n1.wav\tONE\n", r"a\.tsv:1: there is no column 'text'; did you mean 'txt'\?"),
        ("audio\ttext\n1.wav\tONE\n2.wav\n", r"a\.tsv:3: has 1 columns, and column 2 is asked for"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        TableSpeech(train=tmp_path / "a.tsv").read("train")


@pytest.mark.parametrize("corpus", [JsonlSpeech, TableSpeech])
def test_a_manifest_that_is_missing_or_not_given(tmp_path: Path, corpus: type[ManifestSpeech]) -> None:
    with pytest.raises(DataError, match=r"none\.csv: there is no such file"):
        corpus(train=tmp_path / "none.csv").read("train")
    with pytest.raises(ConfigError, match=r"set data\.corpus\.val, or data\.corpus\.held_out"):
        corpus(train=tmp_path / "none.csv").read("val")


# LibriSpeech's folders


def test_librispeech(tmp_path: Path) -> None:
    for chapter, lines in (("84/121", "84-121-0 GO\n84-121-1 DO YOU\n"), ("19/7", "19-7-0 NO\n19-7-1\n")):
        folder = tmp_path / chapter
        folder.mkdir(parents=True)
        (folder / f"{chapter.replace('/', '-')}.trans.txt").write_text(lines)
    assert FolderSpeech(train=tmp_path).read("train") == [
        Utterance(0, AudioClip(tmp_path / "19/7/19-7-0.flac"), "NO", "19-7-0", "19"),
        Utterance(1, AudioClip(tmp_path / "19/7/19-7-1.flac"), "", "19-7-1", "19"),
        Utterance(2, AudioClip(tmp_path / "84/121/84-121-0.flac"), "GO", "84-121-0", "84"),
        Utterance(3, AudioClip(tmp_path / "84/121/84-121-1.flac"), "DO YOU", "84-121-1", "84"),
    ]


def test_a_folder_without_transcripts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no \*\.trans\.txt in it, or below"):
        FolderSpeech(train=tmp_path).read("train")
    (tmp_path / "a.trans.txt").write_text("84-121-0 GO\n NO\n")
    with pytest.raises(DataError, match=r"a\.trans\.txt:2: a line must begin with the name of a sound file"):
        FolderSpeech(train=tmp_path).read("train")


# What is held out


def spoken(*speakers: str) -> list[Utterance]:
    return [
        Utterance(row, AudioClip(Path(f"/data/{row // 2}.wav")), "SAME", str(row), speaker)
        for row, speaker in enumerate(speakers)
    ]


class Given(SplitSpeech):
    def __init__(self, utterances: list[Utterance], held_out: float) -> None:
        super().__init__(held_out)
        self.utterances = utterances

    def read_split(self, split: str) -> list[Utterance]:
        return self.utterances if split == "train" else []


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_whole_speakers_are_held_out(share: float) -> None:
    utterances = spoken(*(f"speaker{row % 20}" for row in range(200)))
    corpus = Given(utterances, share)
    training, validation = corpus.read("train"), corpus.read("val")
    assert sorted([*training, *validation], key=lambda each: each.id) == utterances
    speakers = {each.speaker for each in validation}
    assert not speakers & {each.speaker for each in training}
    assert len(speakers) == min(max(round(share * 20), 1), 19)  # each has a twentieth of all
    assert corpus.read("test") == []


def test_without_speakers_whole_recordings_are_held_out() -> None:
    for speakers in ([""] * 40, ["mia"] * 40, ["mia", ""] * 20):
        utterances = spoken(*speakers)
        validation = hold_out_utterances(utterances, 0.25, held_out=True)
        assert len(validation) == 10
        assert {each.id ^ 1 for each in validation} == {each.id for each in validation}  # two are in a file
        assert len(hold_out_utterances(utterances, 0.25, held_out=False)) == 30


def test_who_is_held_out_does_not_depend_on_the_order_or_the_place() -> None:
    utterances = spoken(*[""] * 40)
    moved = [
        Utterance(each.id, AudioClip(Path("/elsewhere") / (each.audio.path or Path()).name), "OTHER", each.name)
        for each in reversed(utterances)
    ]
    ids = [each.id for each in hold_out_utterances(utterances, 0.25, held_out=True)]
    assert sorted(each.id for each in hold_out_utterances(moved, 0.25, held_out=True)) == ids


def test_what_can_not_be_divided_is_refused() -> None:
    with pytest.raises(DataError, match="needs two speakers or recordings, there is 1"):
        Given(spoken("mia", "mia"), 0.5).read("val")
    with pytest.raises(ConfigError, match=r"data\.corpus\.held_out must be in \[0, 1\), got 1"):
        Given([], 1.0)
