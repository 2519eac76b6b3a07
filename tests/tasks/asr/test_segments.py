from __future__ import annotations

from itertools import pairwise
from math import log10, pi, tau

import pytest
import torch
from torch import Tensor

from core.errors import ConfigError, DataError
from tasks.asr import activity
from tasks.asr.activity import ActivityOptions, find_speech
from tasks.asr.segments import Segment, SegmentOptions, segments

RATE = 16000
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240), (530, 1840, 2480))  # formants, Hz
SHORT = SegmentOptions(max_seconds=8.0, overlap_seconds=1.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vowel(formants: tuple[int, ...], seconds: float, pitch: float, rate: int) -> Tensor:
    """Harmonics of a pitch under three resonances, swelling and fading."""
    time = torch.arange(round(seconds * rate)) / rate
    overtones = pitch * torch.arange(1, int(0.45 * rate / pitch))  # (H,)
    distances = (overtones[:, None] - torch.tensor(formants)) / 80
    gains = (1 + distances.square()).reciprocal().sum(1, keepdim=True)  # (H, 1)
    waves = gains * torch.sin(tau * overtones[:, None] * time)
    return waves.sum(0) * torch.sin(pi * time / time[-1])


def speech(seconds: float, rate: int = RATE, seed: int = 0) -> Tensor:
    """Vowels one after the other without a pause, five a second, at a level of -20 dB."""
    generator = seeded(seed)
    count = round(seconds * 5)
    kinds = torch.randint(len(VOWELS), (count,), generator=generator).tolist()
    pitches = (100 + 60 * torch.rand(count, generator=generator)).tolist()
    said = torch.cat([vowel(VOWELS[kind], 0.2, pitch, rate) for kind, pitch in zip(kinds, pitches, strict=True)])
    return 0.1 * said / rms(said)


def rms(waveform: Tensor) -> Tensor:
    return waveform.square().mean().sqrt()


def noise(seconds: float, colour: str = "white", rate: int = RATE, seed: int = 0) -> Tensor:
    """Gaussian noise at a level of -20 dB; pink falls by 3 dB an octave, brown by 6."""
    white = torch.randn(round(seconds * rate), generator=seeded(seed))
    spectrum = torch.fft.rfft(white)
    hertz = torch.fft.rfftfreq(len(white), 1 / rate).clamp_min(50.0)
    slope = hertz ** {"white": 0.0, "pink": -0.5, "brown": -1.0}[colour]
    coloured: Tensor = torch.fft.irfft(spectrum * slope, len(white))
    return 0.1 * coloured / rms(coloured)


def silence(seconds: float, rate: int = RATE) -> Tensor:
    return torch.zeros(round(seconds * rate))


def hum(seconds: float) -> Tensor:
    return 0.1 * torch.sin(tau * 50 * torch.arange(round(seconds * RATE)) / RATE)


# What is no speech


NO_SPEECH = {
    "empty": silence(0),
    "sample": torch.ones(1),
    "zeros": silence(3),
    "offset": torch.full((RATE,), 0.3),
    "last bit of 16": torch.randint(-1, 2, (3 * RATE,), generator=seeded()) / 32768,
    "instant": noise(0.1),
    "long": noise(60),
    "pink": noise(5, "pink"),
    "brown": noise(5, "brown"),
    "quiet": 1e-4 * noise(5),
    "hum": hum(3),
    "begins and ends": torch.cat([silence(2), noise(3, "pink"), silence(2)]),
    "burst": torch.cat([0.05 * noise(2), noise(1), 0.05 * noise(2)]),
}


@pytest.mark.parametrize("waveform", NO_SPEECH.values(), ids=NO_SPEECH)
def test_silence_and_noise_give_no_segment(waveform: Tensor) -> None:
    assert segments(waveform, RATE) == []


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_noise_gives_no_segment_at_any_rate(rate: int) -> None:
    assert segments(noise(3, rate=rate), rate) == []


# What is speech


@pytest.mark.parametrize("decibels", [20, 10, 5])
@pytest.mark.parametrize("colour", ["white", "pink", "brown"])
def test_speech_in_noise_is_kept(colour: str, decibels: int) -> None:
    pauses = torch.cat([silence(0.5), speech(2), silence(0.5)])
    assert segments(pauses + 10 ** (-decibels / 20) * noise(3, colour), RATE) == [Segment(0, 3 * RATE)]


@pytest.mark.parametrize("waveform", [speech(1), 0.003 * speech(1), speech(0.4)], ids=["tight", "quiet", "short"])
def test_speech_without_background_is_kept(waveform: Tensor) -> None:
    assert segments(waveform, RATE) == [Segment(0, len(waveform))]


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_speech_is_kept_at_any_rate(rate: int) -> None:
    assert segments(speech(2, rate) + 0.1 * noise(2, rate=rate), rate) == [Segment(0, 2 * rate)]


def test_speech_is_found_where_it_is() -> None:
    found = find_speech(torch.cat([silence(1), speech(1), silence(1)]) + 0.03 * noise(3), RATE)
    where = found.speech.nonzero().flatten() * found.hop / RATE
    assert 0.9 < where.min() < 1.1
    assert 1.9 < where.max() < 2.1
    assert found.speech.sum() > 80
    assert not (found.speech & ~found.active).any()


def test_gain_does_not_matter() -> None:
    waveform = torch.cat([silence(1), speech(1)]) + 0.1 * noise(2)
    loud, quiet = find_speech(waveform, RATE), find_speech(waveform / 16, RATE)
    assert torch.equal(loud.speech, quiet.speech)
    torch.testing.assert_close(loud.level - quiet.level, torch.full_like(loud.level, 20 * log10(16)))


def test_level_of_a_full_scale_sine_is_its_mean_square() -> None:
    sine = torch.sin(tau * 1000 * torch.arange(RATE) / RATE)
    level = find_speech(sine, RATE).level
    assert len(level) == 100
    torch.testing.assert_close(level, torch.full((100,), 10 * log10(0.5)), atol=0.01, rtol=0)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = speech(2) + 0.1 * noise(2)
    whole = find_speech(waveform, RATE)
    monkeypatch.setattr(activity, "BLOCK_FRAMES", 7)
    blocks = find_speech(waveform, RATE)
    torch.testing.assert_close(whole.level, blocks.level)
    assert torch.equal(whole.speech, blocks.speech)


def test_background_that_gets_louder_does_not_hide_what_follows() -> None:
    """Two minutes in a quiet room and two beside a fan, each with a second of speech after 45 seconds."""
    with_speech = torch.cat([silence(45), speech(1), silence(74)])
    waveform = torch.cat([with_speech + 0.001 * noise(120, "pink"), with_speech + 0.1 * noise(120, "pink")])
    middles = [(each.start + each.end) / 2 / RATE for each in segments(waveform, RATE)]
    assert middles == pytest.approx([45.5, 165.5], abs=0.3)


# Where it is cut


def test_recording_within_the_limit_stays_whole() -> None:
    waveform = torch.cat([silence(3), speech(1), silence(4)]) + 0.01 * noise(8)
    assert segments(waveform, RATE, SHORT) == [Segment(0, 8 * RATE)]


def test_cuts_lie_in_pauses() -> None:
    """Speech from 0 to 5, 6 to 11 and 12 to 17 seconds: the limit of 8 asks for a cut in each pause."""
    phrase = torch.cat([speech(5), silence(1)])
    found = segments(phrase.repeat(3) + 0.01 * noise(18), RATE, SHORT)
    assert len(found) == 3
    assert found[0].start == 0
    for (left, right), pause in zip(pairwise(found), (5, 11), strict=True):
        assert left.end == right.start
        assert pause < left.end / RATE < pause + 1


def test_without_a_pause_neighbours_overlap() -> None:
    waveform = speech(30) + 0.01 * noise(30)
    found = segments(waveform, RATE, SHORT)
    assert found[0].start == 0
    assert found[-1].end == len(waveform)
    assert [left.end - right.start for left, right in pairwise(found)] == [RATE] * (len(found) - 1)
    assert all(2 * RATE <= each.end - each.start <= 8 * RATE for each in found)


def test_cut_without_a_pause_is_at_the_quietest_place() -> None:
    """A hundredth of the loudness between 6.0 and 6.2 seconds is quiet, but above the background: no pause."""
    waveform = speech(12)
    waveform[6 * RATE : 6 * RATE + RATE // 5] *= 0.2
    first, second = segments(waveform, RATE, SHORT)
    assert first.end - second.start == RATE
    assert 6.0 < (first.end + second.start) / 2 / RATE < 6.2


def test_long_pauses_belong_to_no_segment_but_for_their_edges() -> None:
    parts = [silence(5), speech(3), silence(10), speech(3, seed=1), silence(5)]
    found = segments(torch.cat(parts) + 0.01 * noise(26), RATE, SHORT)
    padding = SHORT.padding_seconds
    expected = [5 - padding, 8 + padding, 18 - padding, 21 + padding]
    seconds = [edge / RATE for segment in found for edge in (segment.start, segment.end)]
    assert seconds == pytest.approx(expected, abs=0.1)


def test_padding_of_neighbours_meets_in_the_middle() -> None:
    options = SegmentOptions(max_seconds=4, overlap_seconds=0, max_pause_seconds=0.2, padding_seconds=5)
    waveform = torch.cat([silence(1), speech(2), silence(1), speech(2, seed=1)]) + 0.01 * noise(6)
    first, second = segments(waveform, RATE, options)
    assert (first.start, second.end) == (0, 6 * RATE)
    assert first.end == second.start
    assert first.end / RATE == pytest.approx(3.5, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 11025, 16000])
def test_segments_cover_all_speech_in_order_and_within_the_limit(rate: int) -> None:
    parts = [part for turn in range(6) for part in (speech(1 + 2 * turn, rate, turn), silence(0.4 * turn, rate))]
    waveform = torch.cat(parts)
    waveform = waveform + 0.01 * noise(len(waveform) / rate, rate=rate)[: len(waveform)]
    found, heard = segments(waveform, rate, SHORT), find_speech(waveform, rate)
    assert len(found) >= len(waveform) / rate / 8
    assert all(0 <= each.start < each.end <= len(waveform) for each in found)
    assert all(each.end - each.start <= 8 * rate for each in found)
    assert all(left.start < right.start and left.end < right.end for left, right in pairwise(found))
    for frame in heard.speech.nonzero().flatten().tolist():
        assert any(each.start <= frame * heard.hop < each.end for each in found)


# What is refused


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (torch.zeros(2, 100), RATE, "one channel"),
        (torch.zeros(100, dtype=torch.int16), RATE, "torch.int16"),
        (torch.tensor([0.0, float("nan")]), RATE, "aren't finite"),
        (torch.zeros(100), 1000, "above 2000 Hz, got 1000"),
    ],
)
def test_what_is_no_waveform_is_refused(waveform: Tensor, rate: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        segments(waveform, rate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_seconds": 0.5}, "max_seconds must be at least 1, got 0.5"),
        ({"padding_seconds": -1.0}, "padding_seconds must be at least 0, got -1.0"),
        ({"max_seconds": 8.0, "overlap_seconds": 2.5}, "a quarter of max_seconds=8.0, got 2.5"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SegmentOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"floor_db": 0.0}, {"flatness_db": 1.0}, {"divergence_db": 0.0}])
def test_thresholds_of_the_wrong_sign_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ActivityOptions(**options)
