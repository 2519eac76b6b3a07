from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from core.audio.normalise import Normaliser, global_statistics
from core.batch import FrameBatch
from core.errors import CheckpointError, ConfigError, DataError
from tests.contracts.encoder import extended


def frames_of(lengths: list[int], scale: float = 2.0, shift: float = -9.0) -> FrameBatch:
    values = torch.randn(len(lengths), max(lengths), 3, generator=torch.Generator().manual_seed(0))
    return FrameBatch(values * scale + shift, torch.tensor(lengths))


def own(frames: FrameBatch) -> list[Tensor]:
    return [row[:length] for row, length in zip(frames.values, frames.lengths.tolist(), strict=True)]


def test_two_frames_by_hand() -> None:
    values = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [99.0, 99.0]]])
    normalised = Normaliser("utterance", 2)(FrameBatch(values, torch.tensor([2])))
    assert normalised.values.tolist() == [[[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]


def test_each_utterance_has_mean_zero_and_deviation_one() -> None:
    for row in own(Normaliser("utterance", 3)(frames_of([50, 20, 7]))):
        torch.testing.assert_close(row.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(row.std(0, correction=0), torch.ones(3))


@pytest.mark.parametrize("scale", [2.0, 0.1])
def test_padding_does_not_matter_in_a_long_utterance(scale: float) -> None:
    frames, normaliser = frames_of([5000, 2999, 1], scale, shift=-20.0), Normaliser("utterance", 3)
    together = own(normaliser(extended(frames, 777)))
    for row, length in enumerate(frames.lengths.tolist()):
        alone = normaliser(FrameBatch(frames.values[row : row + 1, :length], frames.lengths[row : row + 1]))
        torch.testing.assert_close(together[row], alone.values[0], atol=1e-5, rtol=1e-5)


def test_silence_is_zero_and_almost_silence_is_not_blown_up() -> None:
    floor = torch.full((1, 1000, 3), -23.02585)
    normalise = Normaliser("utterance", 3)
    silence = normalise(FrameBatch(floor, torch.tensor([1000]))).values
    assert silence.abs().max() < 1e-4
    floor[0, ::2] += 0.001
    assert normalise(FrameBatch(floor, torch.tensor([1000]))).values.abs().max() < 0.01


def test_none_changes_nothing_but_padding() -> None:
    frames = frames_of([4, 2])
    normalised = Normaliser("none", 3)(frames)
    for row, expected in zip(own(normalised), own(frames), strict=True):
        assert torch.equal(row, expected)
    assert not normalised.values[1, 2:].any()
    assert not Normaliser("none", 3).state_dict()


def test_global_statistics_are_those_of_all_frames() -> None:
    batches = [frames_of([40, 11, 3]), frames_of([9, 30], scale=0.5, shift=100.0)]
    everything = np.concatenate([row.numpy().astype(np.float64) for batch in batches for row in own(batch)])
    mean, std = global_statistics(batches)
    np.testing.assert_allclose(mean.numpy(), everything.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std.numpy(), everything.std(0), rtol=1e-6)


def test_global_normalisation_is_carried_by_the_state() -> None:
    normaliser, frames = Normaliser("global", 3), frames_of([6, 4])
    assert normaliser.needs_statistics
    normaliser.set_statistics(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0]))
    assert not normaliser.needs_statistics
    other = Normaliser("global", 3)
    other.load_state_dict(normaliser.state_dict())
    for module in (normaliser, other, copy.deepcopy(normaliser)):
        normalised = module(frames)
        expected = (frames.values[1, :4] - torch.tensor([1.0, 2.0, 3.0])) / torch.tensor([1.0, 2.0, 4.0])
        torch.testing.assert_close(normalised.values[1, :4], expected)
        assert not normalised.values[1, 4:].any()


def test_a_feature_that_never_varied_is_not_divided_by_zero() -> None:
    normaliser = Normaliser("global", 3)
    normaliser.set_statistics(torch.zeros(3), torch.tensor([0.0, 1.0, 1.0]))
    assert normaliser(frames_of([5])).values.isfinite().all()


def test_global_without_statistics_is_refused() -> None:
    with pytest.raises(CheckpointError, match="normalise is 'global', but no mean"):
        Normaliser("global", 3)(frames_of([5]))


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (torch.zeros(4), r"\(4,\).*makes \(3,\).*n_mels"),
        (torch.tensor([0.0, torch.inf, 0.0]), "aren't finite"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(mean: Tensor, message: str) -> None:
    normaliser = Normaliser("global", 3)
    with pytest.raises(ConfigError, match=message):
        normaliser.set_statistics(mean, torch.ones(3))
    assert normaliser.needs_statistics


def test_only_global_takes_statistics() -> None:
    with pytest.raises(ConfigError, match="'utterance': only 'global'"):
        Normaliser("utterance", 3).set_statistics(torch.zeros(3), torch.ones(3))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 'speaker'"):
        Normaliser("speaker", 3)  # type: ignore[arg-type]


def test_no_frames_have_no_statistics() -> None:
    with pytest.raises(DataError, match="no frame"):
        global_statistics([FrameBatch(torch.zeros(1, 0, 3), torch.tensor([0]))])
