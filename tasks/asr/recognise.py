"""From recordings of any length to transcripts with the times of their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from core.audio.least import extended
from core.ctc.model import with_ctc
from core.data.collate import pad_audio
from core.data.sampler import cut
from tasks.asr.merge import merge_texts, merge_words
from tasks.asr.module import AsrModule
from tasks.asr.segments import Segment, SegmentOptions, segments
from tasks.asr.words import Word, aligned_words


@dataclass(frozen=True)
class Transcript:
    """What was recognised in one recording.

    Attributes:
        text: all of it; empty where nobody speaks.
        words: with their times; empty where they weren't asked for, or where CTC can't align the text.
        seconds: how long the recording is.
    """

    text: str
    words: tuple[Word, ...]
    seconds: float


@dataclass(frozen=True)
class Heard:
    """What was recognised in one segment."""

    text: str
    words: tuple[Word, ...]


class Recogniser:
    """Transcribes recordings: cuts them where nobody speaks, recognises the pieces in batches, and joins them.

    Args:
        module: what recognises, in evaluation mode.
        options: how long recordings are cut.
        batch_seconds: the most sound of a batch, padding included.
        times: whether words get times: it takes another pass of the encoder.
    """

    def __init__(
        self, module: AsrModule, options: SegmentOptions, batch_seconds: float = 60.0, times: bool = True
    ) -> None:
        self.module, self.options, self.times = module, options, times
        self.sample_rate = module.source_size
        self.batch_samples = int(batch_seconds * self.sample_rate)

    def __call__(self, sounds: Sequence[Tensor]) -> list[Transcript]:
        """Transcribes recordings, each (S,) at the model's sample rate.

        Raises:
            DataError: a recording isn't one channel of finite samples.
        """
        cuts = [segments(sound, self.sample_rate, self.options) for sound in sounds]
        pieces = [
            extended(sound[each.start : each.end], self.sample_rate)
            for sound, cut_ in zip(sounds, cuts, strict=True)
            for each in cut_
        ]
        heard = self._hear(pieces)
        ends = [0, *accumulate(map(len, cuts))]
        return [
            self._join(sound, cut_, heard[begin:end])
            for sound, cut_, (begin, end) in zip(sounds, cuts, pairwise(ends), strict=True)
        ]

    def _join(self, sound: Tensor, cuts: Sequence[Segment], heard: Sequence[Heard]) -> Transcript:
        seconds = sound.numel() / self.sample_rate
        if all(each.words or not each.text for each in heard):
            words = merge_words(cuts, [each.words for each in heard], self.sample_rate)
            return Transcript(" ".join(word.text for word in words), tuple(words), seconds)
        return Transcript(merge_texts(cuts, [each.text for each in heard], self.sample_rate), (), seconds)

    def _hear(self, pieces: Sequence[Tensor]) -> list[Heard]:
        """Recognises pieces in batches of similar length; the results come in the order of the pieces."""
        order = sorted(range(len(pieces)), key=lambda index: pieces[index].numel())
        lengths = torch.tensor([pieces[index].numel() for index in order]).numpy()
        results: dict[int, Heard] = {}
        for begin, end in pairwise(cut(lengths, self.batch_samples)):
            chosen = order[begin:end]
            results |= zip(chosen, self._hear_batch([pieces[index] for index in chosen]), strict=True)
        return [results[index] for index in range(len(pieces))]

    @torch.inference_mode()
    def _hear_batch(self, pieces: Sequence[Tensor]) -> list[Heard]:
        source = pad_audio(pieces).to(self.module.device)
        best = [hypotheses[0] for hypotheses in self.module.write(source)]
        texts = [self.module.target_tokenizer.decode(list(each.tokens)) for each in best]
        if not self.times:
            return [Heard(text, ()) for text in texts]
        model = with_ctc(self.module.model, "word times")
        memory = model.encode(source)
        log_probs = model.ctc_log_probs(memory)
        seconds: float = getattr(model.encoder, "seconds_per_state")  # noqa: B009 (all that hear have it)
        aligned = zip(log_probs, memory.lengths.tolist(), best, strict=True)
        tokenizer = self.module.target_tokenizer
        words = [aligned_words(scores[:size], each.tokens, tokenizer, seconds) for scores, size, each in aligned]
        return [Heard(text, each) for text, each in zip(texts, words, strict=True)]
