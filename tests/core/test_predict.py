from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from core.batch import Seq2SeqBatch
from core.data.encode import Limits
from core.data.loader import text_loader
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError, DataError, StorageError
from core.generation.options import Hypothesis
from core.predict import PredictOptions, Summary, predict
from core.seq2seq import EncoderDecoder
from core.tokenization import CharacterTokenizer, TokenizerOptions, TrainedTokenizer

ALPHABET = "abcdefghijklmnopqrstuvwxyzäöü ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ"
TOKENIZER: TrainedTokenizer = CharacterTokenizer.train([ALPHABET] * 2, TokenizerOptions())
WIDTH = 8


class Shouting:
    """Writes its source in capitals, and as a second guess backwards; counts its batches."""

    specials = TOKENIZER.specials
    target_tokenizer = TOKENIZER
    device = torch.device("cpu")

    def __init__(self, attention: bool = True) -> None:
        size = len(TOKENIZER)
        encoder = TransformerEncoder(size, d_model=WIDTH, num_layers=1, num_heads=2, ffn_size=WIDTH)
        decoder = (
            TransformerDecoder(size, WIDTH, d_model=WIDTH, num_layers=2, num_heads=2, ffn_size=WIDTH)
            if attention
            else RecurrentDecoder(size, WIDTH, d_model=WIDTH, attention="none")
        )
        self.model = EncoderDecoder(encoder, decoder)
        self.batches: list[tuple[int, ...]] = []
        self.training = True

    def eval(self) -> object:
        self.training = False
        self.model.eval()
        return self

    def generate_texts(self, batch: Seq2SeqBatch) -> list[list[tuple[str, Hypothesis]]]:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.batches.append(batch.ids)
        read = [
            TOKENIZER.decode(row[: length - 1].tolist())  # what the model sees: tokens, not the raw text
            for row, length in zip(batch.source.values, batch.source.lengths, strict=True)
        ]
        return [[self.shout(text, -1.5), self.shout(text[::-1], -2.25)] for text in read]

    @staticmethod
    def shout(text: str, score: float) -> tuple[str, Hypothesis]:
        tokens = tuple(TOKENIZER.encode(text.upper()))
        return text.upper(), Hypothesis(tokens, score, score * len(tokens), finished=True)


class Data:
    """Makes batches as the datamodule does."""

    source_tokenizer = TOKENIZER

    def __init__(self, limit: int = 40) -> None:
        self.limits = Limits(source=limit)

    def text_loader(self, lines: Sequence[str]) -> Iterable[Any]:
        return text_loader(lines, TOKENIZER, 64, self.limits)


def run(options: PredictOptions, module: Shouting | None = None, data: Data | None = None) -> Summary:
    return predict(module or Shouting(), data or Data(), options)


def best(text: str) -> str:
    """What the first column of the output is for a line of text."""
    return " ".join(text.split()).upper()


def firsts(output: bytes) -> list[str]:
    return [line.split("\t")[0] for line in output.decode().split("\n")[:-1]]


@pytest.fixture
def lines() -> list[str]:
    """Lines of all lengths, in no order, and some empty ones."""
    rng = random.Random(5)
    texts = ["".join(rng.choices("abc äö", k=rng.randrange(0, 30))) for _ in range(60)]
    return [*texts, "", "   ", "last"]


def written(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_line_for_each_line_in_order(tmp_path: Path, lines: list[str]) -> None:
    source, output = written(tmp_path / "in", lines), tmp_path / "out"
    summary = run(PredictOptions(str(source), output=output))
    assert firsts(output.read_bytes()) == [best(line) for line in lines]
    assert (summary.done, summary.problems) == (len(lines), 0)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["in", "out"]


@pytest.mark.parametrize("chunk_lines", [1, 7, 1000])
def test_chunks_do_not_matter(tmp_path: Path, lines: list[str], chunk_lines: int) -> None:
    source, output, module = written(tmp_path / "in", lines), tmp_path / "out", Shouting()
    run(PredictOptions(str(source), output=output, chunk_lines=chunk_lines), module)
    assert firsts(output.read_bytes()) == [best(line) for line in lines]
    assert max(max(batch) for batch in module.batches) < chunk_lines


def test_text_has_the_n_best_with_tabs(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run(PredictOptions(text=["ab c", "", "x"]))
    assert capsysbinary.readouterr().out == b"AB C\tC BA\n\nX\tX\n"


def test_json_has_the_scores(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    run(PredictOptions(text=["ab ü", ""], output=output))
    assert [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()] == [
        {
            "id": 0,
            "source": "ab ü",
            "hypotheses": [
                {"text": "AB Ü", "score": -1.5, "log_prob": -6.0, "finished": True},
                {"text": "Ü BA", "score": -2.25, "log_prob": -9.0, "finished": True},
            ],
        },
        {"id": 1, "source": "", "hypotheses": []},
    ]
    assert "ü" in output.read_text(encoding="utf-8")


def test_a_sentence_on_the_command_line_may_be_no_utf8(tmp_path: Path) -> None:
    typed = b"gr\xfcn".decode("utf-8", "surrogateescape")  # as Python gives arguments in another encoding
    summary = run(PredictOptions(text=[typed, "a\nb"], output=tmp_path / "out"))
    assert firsts((tmp_path / "out").read_bytes()) == ["", "A B"]
    assert summary.problems == 1


def test_an_empty_file_gives_an_empty_file(tmp_path: Path) -> None:
    source, output = written(tmp_path / "in", []), tmp_path / "out"
    summary = run(PredictOptions(str(source), output=output))
    assert output.read_bytes() == b""
    assert summary.done == 0


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"\xef\xbb\xbfa\r\nb\xe2\x80\xa8c\x0cd\n\nlast")
    run(PredictOptions(str(source), output=output))
    assert len(output.read_bytes().split(b"\n")) == 5
    assert firsts(output.read_bytes())[0] == "A"
    assert firsts(output.read_bytes())[2:] == ["", "LAST"]


def test_bad_lines_are_named_and_the_others_are_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "in", tmp_path / "out.jsonl"
    source.write_bytes(b"one\ntw\xff\nthree\n" + b"word " * 10_000 + b"\nfive\n")
    summary = run(PredictOptions(str(source), output=output))
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    texts = [row["hypotheses"][0]["text"] if row["hypotheses"] else "" for row in rows]
    assert texts[:3] == ["ONE", "", "THREE"]
    assert texts[4] == "FIVE"
    assert len(TOKENIZER.encode(texts[3])) <= 40
    assert "0xff" in rows[1]["problem"]
    assert (summary.done, summary.problems) == (5, 2)
    error = capsys.readouterr().err
    assert f"warning: {source}:2: not UTF-8: byte 0xff at offset 2 of the line" in error
    assert f"warning: {source}:4: 49999 tokens, only the first 40 were read" in error
    assert "predict: 5 lines, 2 problems, " in error
    assert "lines/s" in error


def test_a_line_of_just_the_limit_is_no_problem(tmp_path: Path) -> None:
    fitting = "a" * 40
    assert len(TOKENIZER.encode(fitting)) == 40
    assert run(PredictOptions(text=[fitting], output=tmp_path / "out")).problems == 0
    assert run(PredictOptions(text=[fitting + "a"], output=tmp_path / "out")).problems == 1


def test_many_problems_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"\xff\n" * 200)
    assert run(PredictOptions(str(source), output=tmp_path / "out")).problems == 200
    assert capsys.readouterr().err.count("not UTF-8") == 50


def test_a_directory_file_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "deep" / "er").mkdir(parents=True)
    written(folder / "b.txt", ["bee"])
    written(folder / "deep" / "er" / "c", ["sea", "see"])
    written(folder / ".hidden", ["no"])
    (folder / "a.txt.gz").write_bytes(gzip.compress(b"packed\n"))
    (folder / "broken.gz").write_bytes(gzip.compress(b"packed\n" * 99)[:-9])
    expected = {"a.txt.gz": ["PACKED"], "b.txt": ["BEE"], "deep/er/c": ["SEA", "SEE"]}
    for output in (None, tmp_path / "out", folder / "out"):  # a second run doesn't read what the first one wrote
        summary = run(PredictOptions(str(folder), output=output))
        root = output or folder
        found = {name: root / f"{name}.hyp.txt" for name in expected}
        assert {name: firsts(path.read_bytes()) for name, path in found.items()} == expected
        assert (summary.done, summary.problems) == (4, 1)
        assert not (root / "broken.gz.hyp.txt").exists()
    assert not list(folder.rglob("*.hyp.txt.hyp.txt"))
    assert not list((tmp_path / "out").rglob("*hidden*"))


def test_a_single_broken_file_raises(tmp_path: Path) -> None:
    (tmp_path / "in.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"in\.gz: can't be read"):
        run(PredictOptions(str(tmp_path / "in.gz"), output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("grün\n\nblau".encode())))
    run(PredictOptions())
    assert firsts(capsysbinary.readouterr().out) == ["GRÜN", "", "BLAU"]


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    source = written(tmp_path / "in", ["word"] * 20_000)
    script = (
        "from tests.core.test_predict import *\n"
        f"predict(Shouting(), Data(), PredictOptions({str(source)!r}, chunk_lines=100))"
    )
    command = f'{sys.executable} -c "$SCRIPT" | head -n 1'
    root = Path(__file__).parents[2]
    environment = {**os.environ, "SCRIPT": script, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=root, env=environment, check=True)
    assert done.stdout == "WORD\tDROW\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_run_that_dies_leaves_no_half_file(tmp_path: Path) -> None:
    class Dying(Shouting):
        def generate_texts(self, batch: Seq2SeqBatch) -> list[list[tuple[str, Hypothesis]]]:
            if len(self.batches) == 2:
                raise RuntimeError("out of memory")
            return super().generate_texts(batch)

    source, output = written(tmp_path / "in", ["a", "b", "c", "d"]), written(tmp_path / "out", ["old"])
    with pytest.raises(RuntimeError, match="out of memory"):
        run(PredictOptions(str(source), output=output, chunk_lines=1), Dying())
    assert output.read_text() == "old\n"
    assert firsts((tmp_path / "out.part").read_bytes()) == ["A", "B"]


def test_what_can_not_be_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "in", ["a"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nowhere: there is no such file or directory"):
        run(PredictOptions("nowhere"))
    with pytest.raises(DataError, match="empty: the directory has no files to read"):
        run(PredictOptions(str(tmp_path / "empty")))
    with pytest.raises(ConfigError, match="would overwrite the input"):
        run(PredictOptions(str(source), output=tmp_path / "empty" / ".." / "in"))
    with pytest.raises(ConfigError, match="is a file, but --input"):
        run(PredictOptions(str(tmp_path), output=source))
    with pytest.raises(ConfigError, match="--text and --input in exclude each other"):
        PredictOptions("in", text=["a"])
    with pytest.raises(ConfigError, match="--chunk_lines must be at least 1, got 0"):
        PredictOptions(chunk_lines=0)


def test_an_output_that_can_t_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    module = Shouting()
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    with pytest.raises(StorageError, match=r"file/out can't be written: .* MB are free"):
        run(PredictOptions(text=["a"], output=tmp_path / "file" / "out"), module)
    with pytest.raises(ConfigError, match="is a directory: give a file's name"):
        run(PredictOptions(text=["a"], output=tmp_path), module)
    assert module.batches == []
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"


def test_an_output_that_is_a_directory_gets_a_file(tmp_path: Path) -> None:
    source = written(tmp_path / "in.en", ["a"])
    (tmp_path / "out").mkdir()
    run(PredictOptions(str(source), output=tmp_path / "out", format="jsonl"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.en.hyp.jsonl"]


def test_the_output_s_name_tells_the_format_unless_it_is_said() -> None:
    assert PredictOptions(output=Path("o.jsonl")).chosen_format == "jsonl"
    assert PredictOptions(output=Path("o.jsonl"), format="text").chosen_format == "text"
    assert PredictOptions().chosen_format == "text"


def test_heat_maps_of_the_lines_that_were_named(tmp_path: Path) -> None:
    source, pictures = written(tmp_path / "in", ["one", "two", "", "four"]), tmp_path / "pictures"
    run(PredictOptions(str(source), output=tmp_path / "out", attention=pictures, attention_lines=[2, 3, 4]))
    assert sorted(path.name for path in pictures.iterdir()) == ["in.2.png", "in.4.png"]


def test_heat_maps_need_attention(tmp_path: Path) -> None:
    options = PredictOptions(text=["one"], output=tmp_path / "out", attention=tmp_path)
    with pytest.raises(ConfigError, match="RecurrentDecoder has no attention to draw"):
        run(options, Shouting(attention=False))
