from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from random import Random
from string import Formatter

import numpy as np
import pytest
import soundfile

from core.data.corpus import Split
from core.errors import ConfigError
from tasks.asr import builtin_cache
from tasks.asr.builtin import BuiltInSpeech
from tasks.asr.builtin_cache import cached_recordings
from tasks.asr.builtin_sound import NOISE, PAUSE, PEAK, SAMPLE_RATE, Request, as_recorded, noise, resample
from tasks.asr.builtin_texts import FRAMES, KINDS, SLOTS, Writer, cardinal, ordinal, spoken_time, time_of_day, year
from tasks.asr.builtin_voices import ACCENTS, VARIANTS, assign, speakers
from tasks.asr.espeak import Manner

SPLITS: tuple[Split, ...] = ("train", "val", "test")
SIZES = (10, 4, 6)
ROOT = Path(__file__).parents[3]
CORPUS = BuiltInSpeech()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    BuiltInSpeech(*SIZES, cache_dir=folder).read("train")
    return folder


@pytest.fixture
def three_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin_cache, "BUNDLE", 3)


def requests(count: int = 7, voice: str = "en-us") -> dict[Split, list[Request]]:
    return {"train": [Request(f"audio/{row}.flac", cardinal(row), Manner(voice), (1, row)) for row in range(count)]}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is said


def test_numbers_and_times() -> None:
    assert [cardinal(number) for number in (0, 21, 999)] == ["zero", "twenty one", "nine hundred and ninety nine"]
    assert [ordinal(number) for number in (1, 12, 31)] == ["first", "twelfth", "thirty first"]
    assert [year(number) for number in (1999, 2005)] == ["nineteen ninety nine", "two thousand and five"]
    times = ((7, 0), (7, 5), (7, 30), (12, 59))
    assert [time_of_day(*time) for time in times] == ["seven", "seven oh five", "seven thirty", "twelve fifty nine"]
    spoken = [spoken_time(*time) for time in ((7, 15), (7, 30), (11, 45), (12, 50))]
    assert spoken == ["a quarter past seven", "half past seven", "a quarter to twelve", "ten to one"]


def test_texts_are_lower_case_words() -> None:
    texts = [sentence.text for split in SPLITS for sentence in CORPUS.sentences(split)]
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", text) for text in texts)


def test_every_slot_is_known_and_used() -> None:
    frames = [frame for some in FRAMES.values() for frame in some]
    assert {name for frame in frames for _, name, _, _ in Formatter().parse(frame) if name} == set(SLOTS)


def test_kinds_and_words_come_evenly() -> None:
    sentences = [Writer.draw(writer) for writer in [Writer(Random(3))] for _ in range(40 * sum(KINDS.values()))]
    assert Counter(sentence.kind for sentence in sentences) == {kind: 40 * count for kind, count in KINDS.items()}
    greetings = Counter(sentence.text for sentence in sentences if sentence.text.startswith("good "))
    assert len(greetings) == 4
    assert max(greetings.values()) - min(greetings.values()) <= 1


def test_sizes_and_distinct_sentences() -> None:
    assert [len(CORPUS.sentences(split)) for split in SPLITS] == [2_000, 200, 300]
    distinct = {split: {sentence.text for sentence in CORPUS.sentences(split)} for split in SPLITS}
    assert len(distinct["train"]) > 1_500
    assert [len(distinct["val"]), len(distinct["test"])] == [200, 300]


def test_half_of_the_held_out_sentences_are_new() -> None:
    train, val, test = ({sentence.text for sentence in CORPUS.sentences(split)} for split in SPLITS)
    assert (len(val & train), len(test & train)) == (100, 150)
    assert not (val - train) & (test - train)
    held_out: dict[Split, set[str]] = {"val": val, "test": test}
    for split, texts in held_out.items():
        new = {
            sentence.text
            for sentence, topic in zip(CORPUS.sentences(split), CORPUS.topics(split), strict=True)
            if topic == f"{sentence.kind} unseen"
        }
        assert new == texts - train
    assert set(CORPUS.topics("test")) == {f"{kind} {known}" for kind in KINDS for known in ("seen", "unseen")}


@pytest.mark.parametrize("seed", range(4))
def test_training_says_every_word_of_the_others(seed: int) -> None:
    corpus = BuiltInSpeech(seed=seed)
    known = Counter(word for sentence in corpus.sentences("train") for word in sentence.text.split())
    others = [sentence for split in SPLITS[1:] for sentence in corpus.sentences(split)]
    assert {word for sentence in others for word in sentence.text.split()} <= set(known)


def test_the_same_sentences_in_another_process() -> None:
    script = "from random import Random; from tasks.asr.builtin_texts import Writer\n"
    script += "w = Writer(Random('x')); print([w.draw().text for _ in range(50)])"
    command, environment = [sys.executable, "-c", script], {**os.environ, "PYTHONHASHSEED": "7"}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT).stdout
    writer = Writer(Random("x"))
    assert printed.strip() == str([writer.draw().text for _ in range(50)])


def test_another_seed_is_another_corpus() -> None:
    test, other = (
        {sentence.text for sentence in corpus.sentences("test")} for corpus in (CORPUS, BuiltInSpeech(seed=2))
    )
    assert len(test & other) < 100


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 9, 1)])
def test_a_tiny_corpus_will_do(sizes: tuple[int, int, int]) -> None:
    corpus = BuiltInSpeech(*sizes)
    assert tuple(len(corpus.sentences(split)) for split in SPLITS) == sizes


def test_sizes_that_can_not_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"data\.corpus\.val_size must be at least 1, got 0"):
        BuiltInSpeech(val_size=0)
    monkeypatch.setattr("tasks.asr.builtin_texts.FRAMES", dict.fromkeys(FRAMES, ("good {greeting}",)))
    with pytest.raises(ConfigError, match=r"data\.corpus\.val_size is too large: there are only \d new sentences"):
        BuiltInSpeech(val_size=200).sentences("val")


# Who speaks


def test_no_voice_is_shared_by_two_splits() -> None:
    variants = [name for names in VARIANTS.values() for name in names]
    assert len(variants) == len(set(variants))
    for split in SPLITS:
        assert {voice.split("+")[1] for voice in speakers(split)} == set(VARIANTS[split])
        assert {voice.split("+")[0] for voice in speakers(split)} == set(ACCENTS)
        assert len(speakers(split)) == len(set(speakers(split)))


def test_speakers_have_equal_shares() -> None:
    counts = Counter(assign("test", 150, Random(1)))
    assert set(counts) == set(speakers("test"))
    assert set(counts.values()) == {12, 13}


# How it sounds


@pytest.mark.parametrize("frequency", [100, 3_000, 7_900])
def test_resampling_keeps_a_tone(frequency: int) -> None:
    """A period of the whole is a period of the tone, so nothing is lost at the ends."""
    before = np.sin(2 * np.pi * frequency * np.arange(22_050) / 22_050)
    after = np.sin(2 * np.pi * frequency * np.arange(16_000) / 16_000)
    assert np.allclose(resample(before, 22_050, 16_000), after, atol=1e-9)


def test_resampling_cuts_what_the_new_rate_can_not_hold() -> None:
    tone = np.sin(2 * np.pi * 9_000 * np.arange(22_050) / 22_050)
    assert np.abs(resample(tone, 22_050, 16_000)).max() < 1e-9


@pytest.mark.parametrize(("size", "expected"), [(1, 1), (441, 320), (442, 321), (30_000, 21_769)])
def test_resampling_keeps_the_duration(size: int, expected: int) -> None:
    assert len(resample(np.ones(size), 22_050, 16_000)) == expected


@pytest.mark.parametrize("tilt", [0.0, 1.0])
def test_noise_falls_as_it_is_told(tilt: float) -> None:
    samples = noise(2**16, tilt, np.random.default_rng(1))
    assert np.mean(samples**2) == pytest.approx(1)
    power = np.abs(np.fft.rfft(samples)) ** 2
    low, high = power[1_000:2_000].mean(), power[16_000:32_000].mean()  # four octaves apart
    assert np.log2(low / high) == pytest.approx(4 * tilt, abs=0.3)


@pytest.mark.parametrize("seed", range(20))
def test_a_recording_has_its_level_its_pauses_and_its_noise(seed: int) -> None:
    speech = np.sin(2 * np.pi * 500 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    samples = as_recorded(speech, np.random.default_rng(seed))
    quiet = samples[: round(PAUSE[0] * SAMPLE_RATE)]
    loud = samples[round(PAUSE[1] * SAMPLE_RATE) : SAMPLE_RATE]
    assert 2 * PAUSE[0] <= len(samples) / SAMPLE_RATE - 1 <= 2 * PAUSE[1]
    peak = 20 * np.log10(loud.std() * np.sqrt(2))
    assert PEAK[0] - 0.1 <= peak <= PEAK[1] + 0.1
    ratio = 20 * np.log10(loud.std() / quiet.std())  # the noise of a short while may be 10 dB off where it is brown
    assert NOISE[0] - 10 <= ratio <= NOISE[1] + 10
    assert np.abs(samples).max() < 1


# How it is kept


def test_a_split_is_read(cache: Path) -> None:
    corpus = BuiltInSpeech(*SIZES, cache_dir=cache)
    for split, size in zip(SPLITS, SIZES, strict=True):
        utterances = corpus.read(split)
        assert [utterance.id for utterance in utterances] == list(range(size))
        assert [utterance.text for utterance in utterances] == [each.text for each in corpus.sentences(split)]
        assert {utterance.speaker for utterance in utterances} <= set(speakers(split))
        for utterance in utterances:
            assert utterance.audio.path is not None
            samples, rate = soundfile.read(utterance.audio.path)
            assert (rate, len(samples) / rate) == (SAMPLE_RATE, utterance.duration)
            assert 0.09 < np.abs(samples).max() < 0.9
            assert 0.1 < len(samples) / rate / len(utterance.text.split()) < 1.6


def test_made_twice_the_files_are_the_same(cache: Path, tmp_path: Path) -> None:
    BuiltInSpeech(*SIZES, cache_dir=tmp_path).read("val")
    made = files(tmp_path / "speech")
    assert len(made) == sum(SIZES) + 3 + 1
    assert made == files(cache / "speech")


@pytest.mark.usefixtures("three_bundles")
def test_bundles_are_recorded_in_order(tmp_path: Path) -> None:
    folder = cached_recordings(requests(), tmp_path)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [cardinal(number) for number in range(7)]
    for row in rows:
        assert soundfile.info(folder / row["audio"]).duration == row["duration"]


@pytest.mark.usefixtures("three_bundles")
def test_two_that_want_it_at_once_make_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: cached_recordings(requests(), tmp_path), range(2))
    assert first == second
    assert capsys.readouterr().err.count("synthesising 7 utterances") == 1


def test_other_requests_have_a_folder_of_their_own(tmp_path: Path) -> None:
    folders = {cached_recordings(each, tmp_path) for each in (requests(2), requests(3), requests(2, "en-gb"))}
    assert len(folders) == 3


@pytest.mark.usefixtures("three_bundles")
def test_a_killed_synthesis_leaves_no_half_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = builtin_cache._record

    def killed(bundle: Sequence[Request], folder: Path) -> list[int]:
        if bundle[0].text == "three":
            raise KeyboardInterrupt
        return record(bundle, folder)

    with monkeypatch.context() as patched:
        patched.setattr(builtin_cache, "_record", killed)
        with pytest.raises(KeyboardInterrupt):
            cached_recordings(requests(), tmp_path)
    (left,) = (path for path in (tmp_path / "speech").iterdir() if path.is_dir())
    assert (left / "audio" / "0.flac").exists()
    left = left.rename(left.with_suffix(".making-0"))  # as by another process, which doesn't clean up after itself
    folder = cached_recordings(requests(), tmp_path)
    assert len(files(folder)) == 8
    assert not left.exists()


def test_a_voice_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't be synthesised: .*no voice 'nobody'"):
        cached_recordings(requests(1, "nobody"), tmp_path)


def test_a_missing_wheel_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(builtin_cache, "version", version)
    with pytest.raises(ConfigError, match=r'pip install "polyseq\[speech\]"'):
        BuiltInSpeech(*SIZES, cache_dir=tmp_path).read("train")


def test_the_cache_is_where_the_environment_says(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(cache, tmp_path / "elsewhere")
    monkeypatch.setenv("POLYSEQ_CACHE", str(tmp_path / "elsewhere"))
    (utterance, *_) = BuiltInSpeech(*SIZES).read("test")
    assert utterance.audio.path is not None
    assert utterance.audio.path.is_relative_to(tmp_path / "elsewhere")
    assert "synthesising" not in capsys.readouterr().err


def test_a_recording_process_starts_without_torch() -> None:
    """It would take as long as the recording: there are dozens of processes."""
    script = "import sys, tasks.asr.builtin_sound; print('torch' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert printed.strip() == "False"
