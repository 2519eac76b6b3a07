"""The command line of speech recognition on a checkpoint of its own: it learns, and what it makes of people's files."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import IMAGES, EventAccumulator

from core.audio.clip import AudioClip
from core.audio.read import read_audio
from core.checkpoint import KEY, read_checkpoint
from core.ctc import DecodingMode
from core.data.collate import pad_audio
from core.language_model.__main__ import parser, train
from core.runner import run
from tasks.asr.__main__ import load
from tasks.asr.module import AsrModule
from tasks.asr.pictures import look
from tests.core.shell import Shell, make_shell
from tests.tasks.asr.tiny import RATE, sound, sound_options, tiny_speech_options, write_sounds

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Trained:
    """A checkpoint, and the folder of the sounds that it was trained on."""

    corpus: Path
    best: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("sounds")
    write_sounds(folder)
    options = ["--trainer.max_steps=200", "--trainer.val_check_interval=50", "--model.optimizer.lr=0.01"]
    options += ["--model.frontend.normalise=global", "--fit.ema_decay=0.9"]
    run("asr", "fit", [*tiny_speech_options(folder), *options, f"--trainer.default_root_dir={folder}", "--run=a"], load)
    return Trained(folder, folder / "asr" / "a" / "best.ckpt")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs `python -m tasks.asr ...` in this process."""
    return make_shell("asr", load, monkeypatch, capsys)


# On a minute of sound attention alone has learnt nothing yet, as everywhere: that is what CTC is for.
@pytest.mark.parametrize(("mode", "most"), [("ctc_greedy", 10), ("attention", 200), ("joint", 10), ("rescore", 10)])
def test_it_learns_what_the_tones_mean(trained: Trained, shell: Shell, tmp_path: Path, mode: str, most: float) -> None:
    own = Path(shutil.copy(trained.best, tmp_path / "own.ckpt"))
    shown = shell("test", "--ckpt_path", own, f"--model.decoding={mode}")
    assert shown.code == 0, shown.err
    report = json.loads((tmp_path / "own.test.json").read_text())
    assert report["examples"] == 7
    assert report["scores"]["wer"] < most
    assert report["scores"]["rtf"] > 0
    assert "normaliser:none" in report["signatures"]["wer"]
    text = (tmp_path / "own.test.txt").read_text()
    assert "REF:" in text
    assert "speaker" in text


@pytest.fixture(scope="session")
def language_model(trained: Trained) -> Path:
    """A model of the training transcripts, read from the checkpoint's corpus."""
    path = trained.corpus / "tones.arpa"
    train(parser().parse_args(["train", "--ckpt_path", str(trained.best), "--order", "4", "--output", str(path)]))
    return path


def test_a_language_model_judges_what_is_written(
    trained: Trained, language_model: Path, shell: Shell, tmp_path: Path
) -> None:
    own = Path(shutil.copy(trained.best, tmp_path / "own.ckpt"))
    sound_file, wanted = trained.corpus / "test-0.wav", ("--model.language_model.path", language_model)
    shown = shell("test", "--ckpt_path", own, *wanted, "--model.language_model.weight=0.2")
    assert shown.code == 0, shown.err
    report = json.loads((tmp_path / "own.test.json").read_text())
    assert report["language_model"] == {"path": str(language_model), "weight": 0.2, "bonus": 0.0}
    assert report["scores"]["wer"] < 10
    # Nothing but "do" and "re" is ever said, says a model of that; with such a weight it is believed.
    (tmp_path / "said.txt").write_text("do re\nre do\ndo\nre\nre re do do\n")
    narrow = tmp_path / "narrow.arpa"
    given = ["--ckpt_path", str(own), "--input", str(tmp_path / "said.txt"), "--order", "5", "--output", str(narrow)]
    train(parser().parse_args(["train", *given]))
    heard = shell(
        "predict", "--ckpt_path", own, "--input", trained.corpus / "val-0.wav", "--model.decoding=attention",
        "--model.language_model.path", narrow, "--model.language_model.weight=100", "--model.language_model.bonus=1",
    )  # fmt: skip
    assert heard.code == 0, heard.err
    assert set(heard.out.split()) <= {"do", "re"}
    refused = shell("predict", "--ckpt_path", own, "--input", sound_file, *wanted, "--model.decoding=ctc_greedy")
    assert refused.code == 2
    assert "ctc_greedy knows no scorers, such as a language model" in refused.err


def test_a_checkpoint_depends_on_no_language_model(
    trained: Trained, language_model: Path, shell: Shell, tmp_path: Path
) -> None:
    fitting = shell("fit", *tiny_speech_options(trained.corpus), "--model.language_model.path", language_model)
    assert fitting.code == 2
    assert "model.language_model is for validate, test and predict" in fitting.err
    assert read_checkpoint(trained.best)[KEY]["config"]["model"].get("language_model", {}).get("path") is None
    predicting = ("predict", "--ckpt_path", trained.best, "--input", trained.corpus / "test-0.wav")
    missing = shell(*predicting, "--model.language_model.path", tmp_path / "gone.arpa")
    assert (missing.code, missing.err.count("\n")) == (1, 1), missing.err
    assert f"{tmp_path / 'gone.arpa'}: there is no such file" in missing.err
    (tmp_path / "bad.arpa").write_text(language_model.read_text().replace("\te\t", "\té\t"))
    foreign = shell(*predicting, "--model.language_model.path", tmp_path / "bad.arpa")
    assert (foreign.code, foreign.err.count("\n")) == (1, 1), foreign.err
    assert re.search(r"bad.arpa:\d+: 'é' is none of the \d+ tokens that the checkpoint's tokenizer writes", foreign.err)


@pytest.mark.parametrize("mode", get_args(DecodingMode))
def test_a_transcript_is_the_same_alone_and_in_a_batch(trained: Trained, mode: DecodingMode) -> None:
    module = AsrModule.load(trained.best)
    module.decoding = mode
    paths = sorted(trained.corpus.glob("train-*.wav"))[:32]
    sounds = [read_audio(AudioClip(path), RATE) for path in paths]
    together = [best.tokens for best, *_ in module.write(pad_audio(sounds))]
    pairs = [
        best.tokens for begin in range(0, 32, 2) for best, *_ in module.write(pad_audio(sounds[begin : begin + 2]))
    ]
    alone = [module.write(pad_audio([each]))[0][0].tokens for each in sounds]
    assert together == pairs == alone
    assert any(together)


def test_the_first_sound_is_pictured_at_each_validation(trained: Trained) -> None:
    events = EventAccumulator(str(trained.best.parent), size_guidance={IMAGES: 0})
    events.Reload()
    pictures = events.Images("val/first")
    assert [each.step for each in pictures] == [50, 100, 150, 200]
    assert min(each.width for each in pictures) > 600
    assert pictures[0].encoded_image_string != pictures[-1].encoded_image_string


def test_a_picture_shows_where_ctc_hears_the_words_and_where_the_decoder_looks(trained: Trained) -> None:
    module = AsrModule.load(trained.best)
    source = pad_audio([torch.from_numpy(sound(["re", "fa", "do"], np.random.default_rng(5)))])
    best = module.draft(source)[0][0]
    picture = look(module.model, source, best, module.target_tokenizer, RATE)
    assert [word.text for word in picture.words] == ["re", "fa", "do"]
    assert picture.seconds == pytest.approx(1.0)
    assert picture.features.shape == (100, 80)
    best_label, blank = picture.spikes
    assert (best_label + blank <= 1 + 1e-5).all()
    assert picture.attention is not None
    assert picture.attention.shape == (len(picture.written), len(blank))
    torch.testing.assert_close(picture.attention.sum(1), torch.ones(len(picture.written)))


def test_a_checkpoint_carries_the_front_end(trained: Trained) -> None:
    state = read_checkpoint(trained.best)
    assert state[KEY]["source_size"] == RATE
    means = [value for name, value in state["state_dict"].items() if "normaliser" in name]
    assert means
    assert all(value.isfinite().all() for value in means)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """What a person would have recorded: another rate, two channels."""
    wave = sound(["re", "fa", "do"], np.random.default_rng(5))
    twice = np.repeat(wave, 2)  # at twice the rate
    path = tmp_path / "hello there.wav"
    soundfile.write(path, np.stack([twice, twice], 1), 2 * RATE)
    return path


def test_predict_transcribes_a_file(trained: Trained, shell: Shell, recording: Path) -> None:
    shown = shell("predict", "--ckpt_path", trained.best, "--input", recording)
    assert shown.code == 0, shown.err
    assert shown.out == "re fa do\n"


def test_predict_transcribes_standard_input(
    trained: Trained, shell: Shell, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Piped:
        buffer = io.BytesIO(recording.read_bytes())

    monkeypatch.setattr(sys, "stdin", Piped())
    assert shell("predict", "--ckpt_path", trained.best).out == "re fa do\n"


def test_words_have_times(trained: Trained, shell: Shell, recording: Path) -> None:
    shown = shell("predict", "--ckpt_path", trained.best, "--input", recording, "--format", "jsonl")
    row = json.loads(shown.out)
    assert row["text"] == "re fa do"
    assert [word["word"] for word in row["words"]] == ["re", "fa", "do"]
    # Each tone begins 0.3 s after the one before, the first at 0.1 s.
    for number, word in enumerate(row["words"]):
        assert 0.3 * number <= (word["start"] + word["end"]) / 2 <= 0.3 * number + 0.45
    assert row["seconds"] == pytest.approx(1.0, abs=0.01)


def test_a_directory_with_bad_files_is_transcribed_but_for_these(
    trained: Trained, shell: Shell, recording: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(recording, folder / "deep" / "b.wav")
    (folder / "a.wav").write_bytes(b"RIFF not a sound at all")
    (folder / "c.flac").touch()
    soundfile.write(folder / "d.wav", np.zeros(RATE), RATE)  # nobody speaks
    soundfile.write(folder / "e.wav", np.random.default_rng(1).normal(0, 0.1, 2 * RATE), RATE)  # noise
    (folder / "notes.txt").write_text("not a sound")
    shown = shell("predict", "--ckpt_path", trained.best, "--input", folder)
    assert shown.code == 0, shown.err
    rows = dict(line.split("\t") for line in shown.out.splitlines())
    expected = {"a.wav": "", "c.flac": "", "d.wav": "", "deep/b.wav": "re fa do", "e.wav": ""}
    assert {str(Path(name).relative_to(folder)): text for name, text in rows.items()} == expected
    assert "a.wav" in shown.err
    assert "c.flac" in shown.err
    assert "3 recordings, 2 problems" in shown.err


def test_a_file_that_can_t_be_read_is_one_line_and_a_failure(trained: Trained, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF not a sound at all")
    shown = shell("predict", "--ckpt_path", trained.best, "--input", tmp_path / "a.wav")
    assert shown.code == 1
    assert "a.wav" in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(("suffix", "beginning"), [("srt", "1\n00:00:00,"), ("vtt", "WEBVTT\n")])
def test_subtitles(trained: Trained, shell: Shell, recording: Path, suffix: str, beginning: str) -> None:
    output = recording.with_suffix(f".{suffix}")
    shown = shell("predict", "--ckpt_path", trained.best, "--input", recording, "--output", output)
    assert shown.code == 0, shown.err
    text = output.read_text()
    assert text.startswith(beginning)
    assert "re fa do" in text


def test_a_long_recording_is_cut_and_joined(trained: Trained, shell: Shell, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    said = [random.choice(["do", "re", "mi", "fa"], size=3).tolist() for _ in range(12)]
    pause = np.zeros(RATE // 2, np.float32)
    soundfile.write(
        tmp_path / "long.wav", np.concatenate([np.concatenate([sound(w, random), pause]) for w in said]), RATE
    )
    options = ["--segments.max_seconds=4", "--segments.overlap_seconds=1"]
    shown = shell("predict", "--ckpt_path", trained.best, "--input", tmp_path / "long.wav", *options)
    assert shown.out.split() == [word for words in said for word in words]


def test_pictures(trained: Trained, shell: Shell, recording: Path, tmp_path: Path) -> None:
    shown = shell("predict", "--ckpt_path", trained.best, "--input", recording, "--pictures", tmp_path / "pictures")
    assert shown.code == 0, shown.err
    (picture,) = (tmp_path / "pictures").iterdir()
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_bad_data_is_named_before_training_begins(shell: Shell, tmp_path: Path) -> None:
    write_sounds(tmp_path, train=8)
    (tmp_path / "train-3.wav").write_bytes(b"")
    options = [*tiny_speech_options(tmp_path), f"--trainer.default_root_dir={tmp_path}", "--trainer.fast_dev_run=1"]
    shown = shell("fit", *options)
    assert shown.code == 1
    assert "train-3.wav" in shown.err
    assert "data.on_bad_example" in shown.err
    shown = shell("fit", *options, "--data.on_bad_example=skip")
    assert shown.code == 0, shown.err


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("PyramidalEncoder", {"d_model": 16}),
        ("SpeechTransformerEncoder", {"d_model": 16, "num_layers": 1, "num_heads": 2, "conv_channels": 4}),
    ],
)
def test_encoders_are_swapped_by_one_line(shell: Shell, tmp_path: Path, encoder: str, options: dict[str, int]) -> None:
    write_sounds(tmp_path, train=8)
    others = [f"--model.encoder.{name}={value}" for name, value in options.items()]
    rest = ["--trainer.fast_dev_run=1", f"--trainer.default_root_dir={tmp_path}", "--trainer.accelerator=cpu"]
    rest += ["--trainer.devices=1", "--data.batch_seconds=3"]
    shown = shell("fit", *sound_options(tmp_path), f"--model.encoder={encoder}", *others, *rest)
    assert shown.code == 0, shown.err
    assert "val/wer" in shown.out


def test_an_ensemble_needs_attention_alone(trained: Trained, shell: Shell, tmp_path: Path) -> None:
    own = Path(shutil.copy(trained.best, tmp_path / "own.ckpt"))
    shown = shell("test", "--ckpt_path", own, f"--ensemble=[{trained.best}]")
    assert shown.code == 2
    assert "--model.decoding attention" in shown.err


def test_weights_load_without_running_code(trained: Trained) -> None:
    assert torch.load(trained.best, weights_only=True)["state_dict"]
