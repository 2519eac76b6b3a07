from __future__ import annotations

import math

import pytest
import torch
from torchaudio.functional import preemphasis
from torchaudio.transforms import MelSpectrogram

from core.audio.log_mel import LogMel, MelOptions, MelScale
from core.batch import AudioBatch
from core.errors import ConfigError
from tests.contracts.encoder import extended
from tests.core.audio.sounds import speech_source


@pytest.mark.parametrize(("scale", "norm"), [("htk", None), ("slaney", "slaney")])
@pytest.mark.parametrize("emphasis", [0.0, 0.97])
def test_equals_torchaudio(scale: MelScale, norm: str | None, emphasis: float) -> None:
    source = speech_source([5000])
    reference = MelSpectrogram(
        16000, 512, 400, 160, 60.0, 7600.0, n_mels=40, pad_mode="constant", norm=norm, mel_scale=scale
    )
    energies = reference(preemphasis(source.values, emphasis) if emphasis else source.values)
    options = MelOptions(n_mels=40, fmin=60.0, fmax=7600.0, mel_scale=scale, preemphasis=emphasis)
    frames = LogMel(16000, options)(source)
    assert frames.lengths.tolist() == [32]
    torch.testing.assert_close(frames.values.exp(), energies.transpose(1, 2), rtol=1e-4, atol=1e-7)


def test_whole_hops_have_no_frame_behind_the_end() -> None:
    source = speech_source([4800])
    reference = MelSpectrogram(16000, 512, 400, 160, 20.0, n_mels=80, pad_mode="constant")(source.values)
    frames = LogMel(16000, MelOptions(preemphasis=0.0))(source)
    assert frames.lengths.tolist() == [30]
    torch.testing.assert_close(frames.values.exp(), reference[:, :, :30].transpose(1, 2), rtol=1e-4, atol=1e-7)


def test_there_is_a_frame_for_each_hop_that_begins() -> None:
    log_mel = LogMel(16000)
    samples = torch.tensor([0, 1, 160, 161, 16000, 16001])
    assert log_mel.frames(samples).tolist() == [0, 1, 1, 2, 100, 101]
    for size in (1, 160, 161, 1601):
        frames = log_mel(speech_source([size]))
        assert frames.values.size(1) == int(frames.lengths) == int(log_mel.frames(torch.tensor(size)))


def test_frames_are_centred_at_their_hops() -> None:
    values = torch.zeros(1, 3200)
    values[0, 7 * 160] = 1.0
    loudness = LogMel(16000)(AudioBatch(values, torch.tensor([3200]))).values[0].mean(1)
    assert int(loudness.argmax()) == 7
    assert loudness[6] == pytest.approx(float(loudness[8]), abs=0.2)


def test_a_tone_stands_at_its_mel() -> None:
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(8000) / 16000).unsqueeze(0)
    features = LogMel(16000, MelOptions(n_mels=39, fmin=0.0))(AudioBatch(tone, torch.tensor([8000]))).values
    # 2595 lg(1 + 8000/700) = 2840.02 mel by 40 steps of 71.0; 1000 Hz is 1000 mel: step 14.08, the filter of index 13.
    assert set(features[0, 2:-2].argmax(1).tolist()) == {13}


def test_silence_is_the_floor() -> None:
    frames = LogMel(16000, MelOptions(log_floor=1e-8))(AudioBatch(torch.zeros(1, 800), torch.tensor([800])))
    torch.testing.assert_close(frames.values, torch.full((1, 5, 80), math.log(1e-8)))


@pytest.mark.parametrize("hop", [10.0, 20.0, 25.0])
@pytest.mark.parametrize("junk", [1.0, math.nan, math.inf])
def test_padding_is_never_seen(hop: float, junk: float) -> None:
    source = speech_source([1500, 999, 160, 1])
    log_mel = LogMel(16000, MelOptions(hop=hop))
    longer = extended(source, 700)
    longer.values[~(torch.arange(2200) < source.lengths.unsqueeze(1))] = junk
    frames = log_mel(longer)
    for row, length in enumerate(frames.lengths.tolist()):
        alone = log_mel(source.select(torch.tensor([row])))
        assert alone.values.size(1) == length
        torch.testing.assert_close(frames.values[row, :length], alone.values[0], atol=1e-5, rtol=1e-5)
        assert not frames.values[row, length:].any()


def test_an_empty_sound_has_no_frame() -> None:
    log_mel = LogMel(16000)
    for size in (0, 300):
        frames = log_mel(AudioBatch(torch.ones(1, size), torch.tensor([0])))
        assert frames.lengths.tolist() == [0]
        assert not frames.values.any()


def test_autocast_changes_nothing() -> None:
    source, log_mel = speech_source([1600, 800]), LogMel(16000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        frames = log_mel(source)
    assert frames.values.dtype == torch.float32
    assert torch.equal(frames.values, log_mel(source).values)


def test_spectra_are_fine_enough_for_the_lowest_filters() -> None:
    assert LogMel(16000).fft_size == 512
    # A transform of 256 samples has a bin each 31 Hz; the lowest of 128 filters are 20 Hz wide, and some hold none.
    narrow = LogMel(8000, MelOptions(n_mels=128))
    assert narrow.fft_size > 256
    assert (narrow.filters.sum(0) > 0).all()


def test_a_checkpoint_does_not_carry_what_follows_from_the_options() -> None:
    assert not LogMel(16000).state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_mels": 0}, "n_mels must be at least 1, got 0"),
        ({"hop": 30.0}, r"at most model\.frontend\.window, 25\.0 ms.*got 30\.0"),
        ({"fmin": 4000.0, "fmax": 300.0}, r"fmax, 300\.0; got 4000"),
        ({"fmax": 9000.0}, r"fmax=9000\.0 don't fit a sample rate of 16000 Hz.*8000"),
        ({"fmin": 8000.0}, r"fmin=8000\.0"),
        ({"mel_scale": "bark"}, "'bark'"),
        ({"preemphasis": 1.0}, "below 1.*got 1"),
        ({"log_floor": 0.0}, "log_floor must be above 0"),
        ({"hop": 0.01}, "less than one sample at 16000 Hz"),
        ({"n_mels": 2000}, "n_mels=2000.*use fewer"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LogMel(16000, MelOptions(**options))  # type: ignore[arg-type]
