from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from core.audio.perturb import (
    AdditiveNoise,
    NoiseColour,
    NoiseOptions,
    SpeedPerturbation,
    change_speed,
    pink,
)
from core.batch import AudioBatch
from core.errors import ConfigError
from tests.contracts.encoder import extended
from tests.core.audio.sounds import speech_source


def tone(frequency: float, size: int) -> Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(size) / 8000)


@pytest.mark.parametrize(("factor", "size"), [("9/10", 4445), ("11/10", 3637), ("2", 2000), ("1", 4000)])
def test_a_faster_tone_is_higher_and_shorter(factor: str, size: int) -> None:
    source = AudioBatch(tone(200.0, 4000).unsqueeze(0), torch.tensor([4000]))
    changed = change_speed(source, Fraction(factor))
    assert changed.lengths.tolist() == [size]  # 4000 / 0.9 = 4444.4 and 4000 / 1.1 = 3636.4, rounded up
    assert changed.values.size(1) == int(changed.lengths)
    middle = slice(200, 1800)  # the ends ring
    expected = tone(200.0 * float(Fraction(factor)), 4445)
    torch.testing.assert_close(changed.values[0, middle], expected[middle], atol=0.01, rtol=0)


@pytest.mark.parametrize("factor", [Fraction(9, 10), Fraction(11, 10)])
def test_padding_does_not_matter_to_the_speed(factor: Fraction) -> None:
    source = speech_source([1600, 1000, 7])
    together = change_speed(extended(source, 333), factor)
    for row, length in enumerate(together.lengths.tolist()):
        alone = change_speed(source.select(torch.tensor([row])), factor)
        assert alone.lengths.tolist() == [length]
        torch.testing.assert_close(together.values[row, :length], alone.values[0], atol=1e-6, rtol=1e-5)
        assert not together.values[row, length:].any()


def test_each_utterance_draws_a_speed() -> None:
    source = speech_source([900] * 300)
    changed = SpeedPerturbation((0.9, 1.0, 1.1)).train()(source)
    lengths = changed.lengths.tolist()
    for length in (1000, 900, 819):  # 900 / 0.9, 900, 900 / 1.1 rounded up
        assert 60 < lengths.count(length) < 140  # a third of 300; five standard deviations are 41
    assert sum(lengths.count(length) for length in (1000, 900, 819)) == 300
    for length, factor in ((1000, Fraction(9, 10)), (900, Fraction(1)), (819, Fraction(11, 10))):
        row = lengths.index(length)
        expected = change_speed(source.select(torch.tensor([row])), factor)
        torch.testing.assert_close(changed.values[row, :length], expected.values[0])
        assert not changed.values[row, length:].any()
    assert changed.values.size(1) == 1000


def test_speed_is_drawn_by_the_seed_and_not_by_the_padding() -> None:
    source, speed = speech_source([900, 700, 500, 300]), SpeedPerturbation().train()
    torch.manual_seed(3)
    first = speed(source)
    torch.manual_seed(3)
    second = speed(extended(source, 100))
    assert first.lengths.tolist() == second.lengths.tolist()
    size = int(first.lengths.max())
    torch.testing.assert_close(first.values[:, :size], second.values[:, :size], atol=1e-6, rtol=1e-5)


def test_speed_is_exact_under_autocast() -> None:
    source = speech_source([900])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        changed = change_speed(source, Fraction(9, 10))
    assert torch.equal(changed.values, change_speed(source, Fraction(9, 10)).values)


def test_minutes_of_sound_have_all_their_samples() -> None:
    size = 1890001  # 2,100,001.1 samples at 0.9 of the speed, which float32 can't tell from 2,100,001
    changed = change_speed(AudioBatch(torch.zeros(1, size), torch.tensor([size])), Fraction(9, 10))
    assert changed.values.size(1) == int(changed.lengths) == 2100002


@pytest.mark.parametrize("factors", [(), (1.0,), (0.9, 1.1)])
def test_speed_is_left_alone(factors: tuple[float, ...]) -> None:
    source = speech_source([90, 50])
    perturbation = SpeedPerturbation(factors).train(factors != (0.9, 1.1))
    assert torch.equal(perturbation(source).values, source.values)
    assert perturbation(source).lengths.tolist() == [90, 50]


@pytest.mark.parametrize("factor", [0.0, -1.0, 3.0, math.nan])
def test_an_odd_speed_is_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match=r"model\.frontend\.speed.*got"):
        SpeedPerturbation((1.0, factor))


@pytest.mark.parametrize("colour", ["white", "pink"])
def test_noise_has_the_wanted_power_within_each_length(colour: NoiseColour) -> None:
    source = extended(speech_source([1600, 900, 3]), 50)
    noisy = AdditiveNoise(NoiseOptions(1.0, min_snr=10.0, max_snr=10.0, colour=colour)).train()(source)
    for row, length in enumerate(source.lengths.tolist()):
        clean = source.values[row, :length]
        noise = noisy.values[row, :length] - clean
        ratio = 10 * torch.log10(clean.square().sum() / noise.square().sum())
        assert ratio.item() == pytest.approx(10.0, abs=0.01)
        assert torch.equal(noisy.values[row, length:], source.values[row, length:])
    assert torch.equal(noisy.lengths, source.lengths)


def test_noise_is_drawn_within_its_range() -> None:
    source = speech_source([500] * 400)
    noisy = AdditiveNoise(NoiseOptions(1.0, min_snr=5.0, max_snr=25.0)).train()(source)
    ratios = 10 * torch.log10(source.values.square().sum(1) / (noisy.values - source.values).square().sum(1))
    assert ratios.min() >= 5 - 0.01
    assert ratios.max() <= 25 + 0.01
    assert ratios.mean().item() == pytest.approx(15.0, abs=1.5)  # five standard deviations of 400 uniform draws


def test_some_utterances_get_noise() -> None:
    source = speech_source([50] * 1000)
    noisy = AdditiveNoise(NoiseOptions(0.3)).train()(source)
    changed = (noisy.values != source.values).any(1).float().mean().item()
    assert changed == pytest.approx(0.3, abs=0.075)  # five standard deviations of 1,000 draws


def test_silence_stays_silent() -> None:
    silence = AudioBatch(torch.zeros(2, 100), torch.tensor([100, 0]))
    assert not AdditiveNoise(NoiseOptions(1.0)).train()(silence).values.any()


def test_noise_is_for_training() -> None:
    source = speech_source([90])
    assert torch.equal(AdditiveNoise(NoiseOptions(1.0)).eval()(source).values, source.values)
    assert torch.equal(AdditiveNoise(NoiseOptions()).train()(source).values, source.values)


def test_octaves_of_pink_noise_are_equally_loud() -> None:
    spectrum = torch.fft.rfft(pink(torch.randn(64, 4000))).abs().square().mean(0)
    octaves = torch.stack([spectrum[bins : 2 * bins].sum() for bins in (100, 200, 400, 800)])
    torch.testing.assert_close(octaves / octaves.mean(), torch.ones(4), atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.2}, r"noise\.probability must be within 0 and 1, got 1\.2"),
        ({"min_snr": 20.0, "max_snr": 10.0}, r"min_snr must be at most max_snr.*20\.0 and 10\.0"),
        ({"max_snr": math.inf}, "inf"),
        ({"colour": "brown"}, "'brown'"),
    ],
)
def test_noise_that_does_not_fit_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NoiseOptions(**options)  # type: ignore[arg-type]
