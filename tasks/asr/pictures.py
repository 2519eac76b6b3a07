"""Pictures of recognised speech: its spectrogram, with where CTC heard the words and where the decoder looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.audio.log_mel import LogMel
from core.batch import Source
from core.ctc.model import with_ctc
from core.data.collate import pad_audio
from core.generation import Hypothesis
from core.generation.attention import attend
from core.plots import save, sound_figure
from core.seq2seq import EncoderDecoder
from core.tokenization import TrainedTokenizer
from tasks.asr.words import Word, aligned_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tasks.asr.module import AsrModule
    from tasks.asr.recognise import Transcript

LONGEST = 20.0  # seconds that fit into a picture


@dataclass(frozen=True)
class SoundPicture:
    """What a picture of one sound shows, on the CPU: it can be drawn when the model has gone on.

    Letters: F frames, M features a frame, S states of the memory, T tokens.

    Attributes:
        features: (F, M) log-mel.
        seconds: how long the sound is.
        words: with their times.
        spikes: CTC's certainty of its best label, and of the blank, at each state: (S,) and (S,).
        attention: the decoder's weights (T, S); None for one without attention.
        written: T tokens.
    """

    features: Tensor
    seconds: float
    words: tuple[Word, ...]
    spikes: tuple[Tensor, Tensor]
    attention: Tensor | None
    written: tuple[str, ...]

    def draw(self) -> Figure:
        """Draws it."""
        words = [(word.text, word.start, word.end) for word in self.words]
        return sound_figure(self.features, self.seconds, words, self.spikes, self.attention, self.written)


@torch.inference_mode()
def look(
    model: EncoderDecoder,
    source: Source,
    best: Hypothesis,
    tokenizer: TrainedTokenizer,
    sample_rate: int,
    words: Sequence[Word] | None = None,
) -> SoundPicture:
    """Notes what a model makes of one sound.

    Args:
        model: in evaluation mode, with a CTC head.
        source: the sound, as the only one of its batch.
        best: what was recognised in it.
        tokenizer: of the transcripts.
        sample_rate: of the sound, in Hz.
        words: with their times; None for where CTC puts those of `best`.

    Raises:
        ConfigError: the model has no CTC head.
    """
    model = with_ctc(model, "the picture")
    specials = tokenizer.specials
    log_probs = model.ctc_log_probs(model.encode(source))[0]  # (S, V)
    if words is None:
        words = aligned_words(log_probs, best.tokens, tokenizer, getattr(model.encoder, "seconds_per_state"))  # noqa: B009
    weights = attend(model, source, [best], specials)
    return SoundPicture(
        LogMel(sample_rate)(source.to("cpu")).values[0],
        int(source.lengths[0]) / sample_rate,
        tuple(words),
        spikes(log_probs.exp(), specials.pad),
        None if weights is None else weights[0].float().mean(0).cpu(),
        (*tokenizer.tokens(best.tokens), *[" end"] * best.finished),
    )


def draw_words(module: AsrModule, sound: Tensor, transcript: Transcript, path: Path) -> None:
    """Draws the first seconds of a recording (S,): features, words with their times, CTC's labels, and attention."""
    source = pad_audio([sound[: int(LONGEST * module.source_size)]]).to(module.device)
    best = module.write(source)[0][0]
    words = [word for word in transcript.words if word.start < LONGEST]
    picture = look(module.model, source, best, module.target_tokenizer, module.source_size, words)
    save(picture.draw(), path)


def spikes(labels: Tensor, blank: int) -> tuple[Tensor, Tensor]:
    """CTC's certainty of its best label and of the blank at each state: labels (S, V) to two tensors (S,)."""
    others = labels.index_fill(1, torch.tensor([blank], device=labels.device), 0.0)
    return others.amax(1).cpu(), labels[:, blank].cpu()
