from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.data.corpus import TextPair
from core.data.records import DatasetCorpus, JsonlCorpus
from core.errors import DataError


def jsonl(folder: Path, *records: object, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def test_fields_nested_fields_and_references(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path,
        {"translation": {"en": "a\u2028b", "de": "A"}},
        {"translation": {"en": "c", "de": ["C", "D"]}},
        {"translation.en": "dotted", "translation": {"de": "E"}},
    )
    corpus = JsonlCorpus(train=path, source_column="translation.en", target_column="translation.de")
    assert corpus.read("train") == [
        TextPair(0, "a\u2028b", ("A",)),
        TextPair(1, "c", ("C", "D")),
        TextPair(2, "dotted", ("E",)),
    ]


def test_blank_lines_are_no_records_but_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"source": "a", "target": "A"}\n\n{"source": "b"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:3: there is no column 'target'"):
        JsonlCorpus(train=tmp_path / "a.jsonl").read("train")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"source": "a", ', r"a\.jsonl:2: not JSON: "),
        ('["a", "A"]', r"a\.jsonl:2: a line must be a JSON object, got list"),
        ('{"source": 1, "target": "A"}', r"a\.jsonl:2: 'source' must be text, got int"),
        ('{"source": "a", "target": null}', r"a\.jsonl:2: 'target' must be text, got NoneType"),
        ('{"source": "a", "target": []}', r"a\.jsonl:2: 'target' is an empty list"),
        ('{"source": "a", "targets": "A"}', r"a\.jsonl:2: there is no column 'target'; did you mean 'targets'\?"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"source": "a", "target": "A"}\n' + line + "\n")
    with pytest.raises(DataError, match=message):
        JsonlCorpus(train=tmp_path / "a.jsonl").read("train")


def test_a_field_that_has_no_fields_is_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"source": "a", "target": "A"})
    with pytest.raises(DataError, match=r"'source\.en': str has no field 'en'"):
        JsonlCorpus(train=path, source_column="source.en").read("train")


class TestDatasets:
    @pytest.fixture(autouse=True)
    def _offline(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def test_a_folder_of_files(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        jsonl(tmp_path / "d", {"translation": {"en": "a", "de": "A"}, "other": 1}, name="train.jsonl")
        corpus = DatasetCorpus(
            str(tmp_path / "d"), source_column="translation.en", target_column="translation.de", held_out=0.0
        )
        assert corpus.read("train") == [TextPair(0, "a", ("A",))]
        with pytest.raises(DataError, match=r"d \(validation\): datasets can't load it: Unknown split"):
            corpus.read("val")

    def test_a_saved_dataset_with_references(self, tmp_path: Path) -> None:
        from datasets import Dataset, DatasetDict

        rows = {"text": ["a", "b"], "captions": [["A", "B"], ["C"]]}
        DatasetDict(test=Dataset.from_dict(rows)).save_to_disk(tmp_path / "saved")
        corpus = DatasetCorpus(str(tmp_path / "saved"), source_column="text", target_column="captions")
        assert corpus.read("test") == [TextPair(0, "a", ("A", "B")), TextPair(1, "b", ("C",))]

    def test_an_unknown_column_is_refused_with_those_that_exist(self, tmp_path: Path) -> None:
        from datasets import Dataset, DatasetDict

        DatasetDict(train=Dataset.from_dict({"text": ["a"], "label": ["A"]})).save_to_disk(tmp_path / "saved")
        with pytest.raises(DataError, match=r"no column 'txt'; did you mean 'text'\? It has 'text', 'label'"):
            DatasetCorpus(str(tmp_path / "saved"), source_column="txt", target_column="label").read("train")

    def test_without_a_network_the_error_says_so(self) -> None:
        with pytest.raises(DataError, match="a hub id needs a network") as caught:
            DatasetCorpus("nobody/nothing-of-this-name").read("train")
        assert "\n" not in str(caught.value)
