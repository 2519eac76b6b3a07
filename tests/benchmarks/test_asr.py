from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import asr_parts
from benchmarks.asr_parts import PARTS, RECIPE, Bench, Variant, encoder_variants
from benchmarks.asr_speed import CONFIGS, ENCODERS, MODES, RATE, module_of, noise, recogniser, training_batch
from tests.core.tiny import ROOT
from tests.tasks.asr.tiny import tiny_speech_options, write_sounds

MILLION = 10**6


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_the_encoders_that_are_compared_have_at_most_ten_million_parameters(name: str) -> None:
    module = module_of([CONFIGS / f"{each}.yaml" for each in ENCODERS[name]])
    assert 2 * MILLION < sum(parameter.numel() for parameter in module.model.parameters()) <= 10 * MILLION


def test_a_training_batch_has_the_seconds_and_tokens_that_are_asked_for() -> None:
    module = module_of([])
    batch = training_batch(module, 20.0, 4.0, torch.Generator().manual_seed(0))
    seconds = batch.source.lengths / RATE
    assert len(batch) == 5
    assert ((seconds >= 3) & (seconds <= 4)).all()
    assert batch.target is not None
    assert ((batch.target.lengths - 1 - 7 * seconds).abs() <= 1).all()
    for row, length in zip(batch.target.values.tolist(), batch.target.lengths.tolist(), strict=True):
        specials = module.specials
        assert row[length - 1] == specials.eos
        assert not {specials.bos, specials.eos, specials.pad} & set(row[: length - 1])


@pytest.mark.parametrize("mode", MODES)
def test_decoding_writes_as_many_tokens_as_people_say(mode: str) -> None:
    module = module_of([])
    source = noise(torch.full((2,), RATE), torch.Generator().manual_seed(0))
    written = recogniser(module, mode, 1.0)(source)
    if mode != "ctc_greedy":
        assert [len(best.tokens) for best, *_ in written] == [7, 7]  # type: ignore[attr-defined]


def test_each_part_is_a_row_of_its_own() -> None:
    variants = [*PARTS, *encoder_variants([Path("a/las.yaml")])[1:]]
    assert len({variant.folder for variant in variants}) == len(variants)
    assert all(variant.folder.replace("-", "").replace(".", "").isalnum() for variant in variants)
    assert variants[-1] == Variant("las", ("--config", "a/las.yaml"))


def test_a_row_is_run_by_the_command_line_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sounds(tmp_path)
    options = [*tiny_speech_options(tmp_path), "--model.schedule.warmup_steps=1"]
    monkeypatch.chdir(ROOT)
    bench = Bench(tmp_path, ROOT / "configs/asr/default.yaml", 2, options)
    result = bench.run(RECIPE)
    assert result.update in (1, 2)
    assert 0 < result.parameters < MILLION
    assert result.minutes > 0
    assert result.wer >= 0 <= result.rtf
    assert "normaliser:none" in result.signature
    report = json.loads((tmp_path / "asr" / "the-recipe" / "best.test.json").read_text())
    assert result.wer == report["scores"]["wer"]

    def refuse(command: object, log: object) -> float:
        raise AssertionError(f"{command} was to be run again")

    monkeypatch.setattr(asr_parts, "execute", refuse)
    assert bench.run(RECIPE) == result
    with pytest.raises(AssertionError, match="again"):
        Bench(tmp_path, ROOT / "configs/asr/default.yaml", 3, options).run(RECIPE)
