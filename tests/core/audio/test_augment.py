from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.audio.augment import SpecAugment, SpecAugmentOptions, random_spans
from core.batch import FrameBatch
from core.errors import ConfigError

BOTH = SpecAugmentOptions(frequency_masks=2, frequency_width=5, time_masks=2, time_width=8, time_share=0.3)


def frames_of(lengths: list[int], n_features: int = 20) -> FrameBatch:
    values = torch.randn(len(lengths), max(lengths), n_features, generator=torch.Generator().manual_seed(0)) + 3.0
    return FrameBatch(values, torch.tensor(lengths))


def edges(covered: Tensor) -> Tensor:
    """How many runs of True each row has."""
    return torch.nn.functional.pad(covered.int(), (1, 0)).diff(dim=1).clamp_min(0).sum(1)


def test_spans_are_uniform_in_width_and_in_place() -> None:
    rows = 20000
    covered = random_spans(torch.full((rows,), 6), torch.full((rows,), 3), number=1, size=9)
    widths = covered.sum(1)
    for width in range(4):  # 0 to 3, a quarter each: four standard deviations of 20,000 draws are 0.012
        assert (widths == width).float().mean().item() == pytest.approx(0.25, abs=0.013)
    begins = covered[widths == 3].int().argmax(1)
    for begin in range(4):  # within six columns there are four places for three
        assert (begins == begin).float().mean().item() == pytest.approx(0.25, abs=0.025)
    assert not covered[:, 6:].any()
    assert (edges(covered) <= 1).all()


def test_a_span_stays_within_its_row() -> None:
    lengths = torch.tensor([0, 1, 2, 5, 9]).repeat(200)
    covered = random_spans(lengths, lengths, number=3, size=9)
    assert not covered[torch.arange(9) >= lengths.unsqueeze(1)].any()
    for length in (1, 2, 5, 9):  # each place of a row is reached
        assert covered[lengths == length].any(0).sum() == length


def test_masks_are_bands_and_stretches_of_the_mean() -> None:
    frames = frames_of([40, 25, 10] * 20)
    augmented = SpecAugment(BOTH).train()(frames)
    seen_bands = seen_stretches = 0
    for row, length in enumerate(frames.lengths.tolist()):
        before, after = frames.values[row, :length], augmented.values[row, :length]
        changed = before != after
        torch.testing.assert_close(after[changed], before.mean(0).expand_as(before)[changed])
        band, stretch = changed.all(0), changed.all(1)
        assert torch.equal(changed, band | stretch.unsqueeze(1))
        assert band.sum() <= 10
        assert edges(band[None]) <= 2
        assert stretch.sum() <= 2 * min(8, int(0.3 * length))
        assert edges(stretch[None]) <= 2
        seen_bands, seen_stretches = seen_bands + int(band.any()), seen_stretches + int(stretch.any())
        assert torch.equal(augmented.values[row, length:], frames.values[row, length:])
    assert seen_bands > 40
    assert seen_stretches > 40


def test_each_utterance_draws_its_own() -> None:
    frames = frames_of([40])
    same = FrameBatch(frames.values.repeat(8, 1, 1), frames.lengths.repeat(8))
    rows = SpecAugment(BOTH).train()(same).values
    assert len({tuple(row.flatten().tolist()) for row in rows}) > 4


def test_the_seed_decides() -> None:
    frames, augment = frames_of([40, 30]), SpecAugment(BOTH).train()
    torch.manual_seed(5)
    first = augment(frames).values
    second = augment(frames).values
    torch.manual_seed(5)
    assert torch.equal(augment(frames).values, first)
    assert not torch.equal(first, second)


def test_padding_does_not_change_what_is_drawn() -> None:
    frames, augment = frames_of([40, 30]), SpecAugment(BOTH).train()
    torch.manual_seed(5)
    expected = augment(frames).values
    longer = FrameBatch(torch.cat([frames.values, torch.full((2, 9, 20), 77.0)], dim=1), frames.lengths)
    torch.manual_seed(5)
    torch.testing.assert_close(augment(longer).values[:, :40], expected)


def test_nothing_is_masked_outside_training_or_by_default() -> None:
    frames = frames_of([40, 30])
    assert torch.equal(SpecAugment(BOTH).eval()(frames).values, frames.values)
    assert torch.equal(SpecAugment(SpecAugmentOptions()).train()(frames).values, frames.values)


def test_a_width_beyond_the_features_is_cut() -> None:
    frames = frames_of([40])
    wide = SpecAugment(SpecAugmentOptions(frequency_masks=1, frequency_width=500)).train()
    bands = [int((wide(frames).values != frames.values).all(1).sum()) for _ in range(50)]
    assert max(bands) <= 20
    assert len(set(bands)) > 5


def test_a_single_frame_is_never_masked_in_time() -> None:
    frames = frames_of([1])
    options = SpecAugmentOptions(time_masks=5, time_share=0.9)
    assert torch.equal(SpecAugment(options).train()(frames).values, frames.values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_masks": -1}, "spec_augment.time_masks must be at least 0, got -1"),
        ({"frequency_width": -2}, "frequency_width must be at least 0, got -2"),
        ({"time_share": 1.5}, r"time_share must be within 0 and 1, got 1\.5"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SpecAugmentOptions(**options)  # type: ignore[arg-type]
