"""Pictures of recognised speech: its spectrogram, with where CTC heard the words and where the decoder looked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.audio.log_mel import LogMel
from core.ctc.model import with_ctc
from core.data.collate import pad_audio
from core.generation.attention import attend
from core.plots import save, sound_figure
from tasks.asr.module import AsrModule
from tasks.asr.recognise import Transcript

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 20.0  # seconds that fit into a picture


def draw_words(module: AsrModule, sound: Tensor, transcript: Transcript, path: Path) -> None:
    """Draws the first seconds of a recording (S,): features, words with their times, CTC's labels, and attention."""
    save(words_figure(module, sound, transcript), path)


def words_figure(module: AsrModule, sound: Tensor, transcript: Transcript) -> Figure:
    """The picture of `draw_words`."""
    rate = module.source_size
    sound = sound[: int(LONGEST * rate)]
    source = pad_audio([sound]).to(module.device)
    model = with_ctc(module.model, "the picture")
    memory = model.encode(source)
    labels = model.ctc_log_probs(memory)[0].exp()  # (S, V)
    best = module.write(source)[0][0]
    weights = attend(model, source, [best], module.specials)
    features = LogMel(rate)(source.to("cpu")).values[0]  # (F, n_mels)
    tokenizer = module.target_tokenizer
    written = [*tokenizer.tokens(best.tokens), *[" end"] * best.finished]
    words = [(word.text, word.start, word.end) for word in transcript.words if word.start < LONGEST]
    seconds = sound.numel() / rate
    attention = None if weights is None else weights[0].float().mean(0).cpu()  # (T, S)
    return sound_figure(features, seconds, words, spikes(labels, module.specials.pad), attention, written)


def spikes(labels: Tensor, blank: int) -> tuple[Tensor, Tensor]:
    """CTC's certainty of its best label and of the blank at each state: labels (S, V) to two tensors (S,)."""
    others = labels.index_fill(1, torch.tensor([blank], device=labels.device), 0.0)
    return others.amax(1).cpu(), labels[:, blank].cpu()
