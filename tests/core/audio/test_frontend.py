from __future__ import annotations

import io
import math

import pytest
import torch
from jsonargparse import ArgumentParser

from core.audio.augment import SpecAugmentOptions
from core.audio.frontend import FrontEnd, FrontEndOptions
from core.audio.normalise import NormaliseKind
from core.audio.perturb import NoiseOptions
from core.batch import AudioBatch
from core.errors import CheckpointError, ConfigError
from core.masks import length_mask
from tests.contracts.encoder import extended
from tests.core.audio.sounds import speech_source

AUGMENTED = FrontEndOptions(
    n_mels=20,
    speed=(0.9, 1.0, 1.1),
    spec_augment=SpecAugmentOptions(frequency_masks=2, frequency_width=4, time_masks=2, time_width=10),
)
NOISY = FrontEndOptions(n_mels=20, noise=NoiseOptions(probability=1.0))


def made(kind: NormaliseKind) -> FrontEnd:
    frontend = FrontEnd(8000, FrontEndOptions(n_mels=20, normalise=kind)).eval()
    if kind == "global":
        frontend.fit_statistics([speech_source([4000, 3000], 8000, seed=9)])
    return frontend


@pytest.mark.parametrize("kind", ["none", "utterance", "global"])
def test_an_utterance_alone_equals_itself_in_a_batch(kind: NormaliseKind) -> None:
    frontend, source = made(kind), speech_source([4000, 2400, 900, 50], 8000)
    together = frontend(extended(source, 1000))
    assert together.lengths.tolist() == frontend.frames(source.lengths).tolist() == [50, 30, 12, 1]
    for row, length in enumerate(together.lengths.tolist()):
        alone = frontend(source.select(torch.tensor([row])))
        torch.testing.assert_close(together.values[row, :length], alone.values[0], atol=1e-5, rtol=1e-5)
        assert not together.values[row, length:].any()


@pytest.mark.parametrize("options", [AUGMENTED, NOISY], ids=["speed and masks", "noise"])
def test_training_augments_and_the_seed_decides_how(options: FrontEndOptions) -> None:
    frontend, source = FrontEnd(8000, options), speech_source([4000, 2400, 900], 8000)
    plain = frontend.eval()(source)
    torch.manual_seed(1)
    first = frontend.train()(source)
    torch.manual_seed(1)
    again = frontend(source)
    assert first.lengths.tolist() == again.lengths.tolist()
    assert torch.equal(first.values, again.values)
    assert first.values.shape != plain.values.shape or not torch.allclose(first.values, plain.values, atol=0.01)
    assert not first.values[~length_mask(first.lengths, first.values.size(1))].any()
    assert torch.equal(frontend.eval()(source).values, plain.values)


def test_training_does_not_see_padding() -> None:
    frontend, source = FrontEnd(8000, AUGMENTED).train(), speech_source([4000, 2400, 900], 8000)
    torch.manual_seed(1)
    expected = frontend(source)
    torch.manual_seed(1)
    frames = frontend(extended(source, 500))
    assert frames.lengths.tolist() == expected.lengths.tolist()
    size = int(expected.lengths.max())
    torch.testing.assert_close(frames.values[:, :size], expected.values[:, :size], atol=1e-4, rtol=1e-4)


def test_noise_is_added_at_the_rate_at_which_it_is_heard() -> None:
    """Noise before the change of speed would be resampled with it: at half the speed nothing of it was above 2 kHz."""
    options = FrontEndOptions(
        n_mels=20, preemphasis=0.0, normalise="none", speed=(0.5,), noise=NoiseOptions(1.0, min_snr=0.0, max_snr=0.0)
    )
    tone = torch.sin(2 * math.pi * 400 * torch.arange(8000) / 8000).unsqueeze(0)
    features = FrontEnd(8000, options).train()(AudioBatch(tone, torch.tensor([8000]))).values[0]
    assert features[5:-5, -3:].mean() > features[5:-5].mean() - 3


def test_without_augmentation_training_is_no_other() -> None:
    frontend, source = made("utterance"), speech_source([4000, 900], 8000)
    assert torch.equal(frontend.train()(source).values, frontend.eval()(source).values)


def test_global_statistics_make_the_training_data_standard() -> None:
    options = FrontEndOptions(n_mels=20, normalise="global", speed=(0.5,), noise=NoiseOptions(1.0))
    frontend = FrontEnd(8000, options).train()  # what is computed in training mode isn't augmented either
    batches = [speech_source([4000, 900], 8000, seed=1), speech_source([2000], 8000, seed=2)]
    assert frontend.needs_statistics
    frontend.fit_statistics(batches)
    assert not frontend.needs_statistics
    frontend.eval()
    values = [frontend(batch) for batch in batches]
    frames = torch.cat([each.values[length_mask(each.lengths, each.values.size(1))] for each in values])
    torch.testing.assert_close(frames.mean(0), torch.zeros(20), atol=1e-4, rtol=0)
    torch.testing.assert_close(frames.std(0, correction=0), torch.ones(20), atol=1e-4, rtol=0)


def test_a_checkpoint_carries_the_statistics() -> None:
    frontend, source = made("global"), speech_source([800], 8000)
    file = io.BytesIO()
    torch.save(frontend.state_dict(), file)
    file.seek(0)
    other = FrontEnd(8000, frontend.options).eval()
    with pytest.raises(CheckpointError, match="normalise: utterance"):
        other(source)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(source).values, frontend(source).values)


def test_statistics_are_for_global_normalisation() -> None:
    with pytest.raises(ConfigError, match="'utterance'"):
        made("utterance").fit_statistics([speech_source([800], 8000)])


def test_a_broken_sound_is_not_fitted() -> None:
    frontend = FrontEnd(8000, FrontEndOptions(n_mels=20, normalise="global"))
    with pytest.raises(ConfigError, match="aren't finite"):
        frontend.fit_statistics([AudioBatch(torch.full((1, 800), torch.nan), torch.tensor([800]))])


def test_it_stays_in_full_precision() -> None:
    frontend, source = FrontEnd(8000, AUGMENTED).train(), speech_source([2000, 900], 8000)
    torch.manual_seed(1)
    expected = frontend(source).values
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = frontend(source).values
    assert values.dtype == torch.float32
    assert torch.equal(values, expected)


def test_times_and_sizes() -> None:
    frontend = FrontEnd(16000, FrontEndOptions(n_mels=40, hop=12.5))
    assert frontend.n_features == 40
    assert frontend.seconds_per_frame == pytest.approx(0.0125)
    assert frontend(speech_source([1600])).values.shape == (1, 8, 40)


def test_options_come_from_yaml_and_the_command_line() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--frontend", type=FrontEndOptions, default=FrontEndOptions())
    text = """
    frontend:
      n_mels: 20
      speed: [0.9, 1.0, 1.1]
      spec_augment: {frequency_masks: 2, frequency_width: 4, time_masks: 2, time_width: 10}
    """
    options = parser.instantiate(parser.parse_args([f"--config={text}"])).frontend
    assert options == AUGMENTED
    line = ["--frontend.n_mels=20", "--frontend.noise.probability=1.0"]
    assert parser.instantiate(parser.parse_args(line)).frontend == NOISY


def test_an_option_that_does_not_fit_the_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="8000 Hz"):
        FrontEnd(8000, FrontEndOptions(fmax=7600.0))
