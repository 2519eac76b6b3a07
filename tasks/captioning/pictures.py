"""Pictures of where a captioning model looked while it wrote each word, whatever search found the words.

Letters: H height, W width, L layers, T tokens, S cells of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from core.batch import ImageBatch
from core.encoders.image import ImageEncoder
from core.errors import ConfigError
from core.generation import Hypothesis
from core.generation.attention import attend
from core.plots import looks_figure, save
from tasks.captioning.module import CaptioningModule


def draw_looks(module: CaptioningModule, image: Tensor, best: Hypothesis, path: Path) -> None:
    """Draws an image (3, H, W), as the encoder reads it, lit for each word of its caption where the model looked.

    Raises:
        ConfigError: the model has no attention, or its memory is no grid.
    """
    encoder = module.model.encoder
    if not isinstance(encoder, ImageEncoder):
        raise ConfigError(f"--attention: {type(encoder).__name__} has no grid of cells to draw")
    source = ImageBatch(image.unsqueeze(0), torch.tensor([image[0].numel()])).to(module.device)
    weights = attend(module.model, source, [best], module.specials)
    if weights is None:
        raise ConfigError(f"--attention: {type(module.model.decoder).__name__} has no attention to draw")
    tokens = [*module.target_tokenizer.tokens(best.tokens), *[" end"] * best.finished]
    words, rows = by_word(tokens, weights[0].float().mean(0).cpu())
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.mean, encoder.std))
    grids = rows.view(len(words), *encoder.grid)
    save(looks_figure(image.cpu() * std + mean, grids, words), path)


def by_word(tokens: Sequence[str], weights: Tensor) -> tuple[list[str], Tensor]:
    """Puts the pieces of words together, and takes the mean of their weights (T, S): as many rows as words.

    A piece that begins a word begins with a space; so the signs that stand behind a word are a part of it.
    """
    starts = [place for place, token in enumerate(tokens) if not place or token.startswith(" ")]
    ends = [*starts[1:], len(tokens)][: len(starts)]  # no token, no word
    words = ["".join(tokens[start:end]).strip() for start, end in zip(starts, ends, strict=True)]
    rows = [weights[start:end].mean(0) for start, end in zip(starts, ends, strict=True)]
    return words, torch.stack(rows) if rows else weights[:0]
