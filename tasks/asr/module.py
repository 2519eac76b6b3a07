"""The module of speech recognition: the shared one, with a front-end, a CTC head, and recognition's metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from core.audio.frontend import FrontEnd, FrontEndOptions
from core.batch import Seq2SeqBatch, Source
from core.ctc import CtcEncoderDecoder, DecodingMode, JointCtcAttention, feasible, transcribe
from core.ctc.model import check_weight
from core.data.audio_datamodule import AudioDataModule, AudioDataset
from core.data.vocabularies import Vocabularies
from core.decoders.base import Decoder
from core.encoders.audio import AudioEncoder
from core.encoders.base import Encoder
from core.errors import ConfigError
from core.generation import GenerationOptions, Hypothesis
from core.generation.phrases import Phrases
from core.heads import CtcHead
from core.language_model.options import LanguageModelOptions
from core.metrics.base import CorpusMetric, MetricGroup
from core.metrics.normalisers import NormaliserName
from core.metrics.speech import CharacterErrorRate, WordErrorRate
from core.metrics.speech_report import speech_report
from core.module import DecoderFactory, EncoderFactory, OptimizerFactory, Seq2SeqModule
from core.objectives import Objective
from core.optim import Schedule
from tasks.asr.pictures import SoundPicture, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_log = logging.getLogger(__name__)
BOOTSTRAP_DRAWS = 1000
PICTURED = 0  # the number of the utterance whose picture is drawn at each validation


class AsrModule(Seq2SeqModule):
    """Recognises speech: the word error rate chooses the best checkpoint.

    Args:
        source_size: the sample rate, in Hz; the datamodule knows it.
        vocabularies: the tokenizer of the transcripts; the datamodule has it.
        encoder: made with the number of features a frame. One that reads samples (`reads_waveform`) has no front-end.
        decoder: made with the vocabulary's size and the encoder's width.
        frontend: what turns samples into features, and how they are augmented in training.
        objective: what a training step minimises; None for CTC and attention together.
        optimizer: made with the parameters that are trained.
        schedule: of its learning rate.
        generation: how attention writes.
        phrases: what the transcripts begin with, contain or don't contain.
        decoding: how `validate`, `test` and `predict` recognise: by CTC's best path, by attention alone, by both
            together, or by attention's choice among CTC's best.
        ctc_weight: of CTC in "joint" and "rescore"; attention has the rest of 1.
        fit_decoding: how the validations during `fit` recognise.
        normaliser: what both texts go through before words are compared.
        skip_patience: how many updates in a row may be skipped for not being finite.
        language_model: what judges the transcripts too, in all ways of decoding but "ctc_greedy"; not for `fit`.

    Raises:
        ConfigError: parts that don't fit each other.
    """

    task = "asr"
    monitor, monitor_mode = "val/wer", "min"

    def __init__(
        self,
        source_size: int,
        vocabularies: Vocabularies,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        frontend: FrontEndOptions = FrontEndOptions(),  # noqa: B008 (frozen)
        objective: Objective | None = None,
        optimizer: OptimizerFactory = lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
        schedule: Schedule = Schedule(),  # noqa: B008 (frozen)
        generation: GenerationOptions = GenerationOptions(),  # noqa: B008 (frozen)
        phrases: Phrases = Phrases(),  # noqa: B008 (frozen)
        decoding: DecodingMode = "joint",
        ctc_weight: float = 0.3,
        fit_decoding: DecodingMode = "ctc_greedy",
        normaliser: NormaliserName = "none",
        skip_patience: int = 20,
        language_model: LanguageModelOptions = LanguageModelOptions(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__(
            source_size,
            vocabularies,
            hearing(encoder, frontend),
            decoder,
            JointCtcAttention() if objective is None else objective,
            optimizer,
            schedule,
            generation,
            phrases,
            skip_patience=skip_patience,
            language_model=language_model,
        )
        self.decoding, self.fit_decoding = decoding, fit_decoding
        self.ctc_weight = check_weight("model.ctc_weight", ctc_weight)
        self.normaliser: NormaliserName = normaliser
        self.heard = self.spent = 0.0
        self.picture: SoundPicture | None = None

    def join(self, encoder: Encoder, decoder: Decoder) -> CtcEncoderDecoder:
        """Adds the CTC head."""
        return CtcEncoderDecoder(encoder, decoder, CtcHead(encoder.d_model, len(self.target_tokenizer)))

    @property
    def trains_all(self) -> bool:
        """Not with an objective that doesn't know of the CTC head."""
        return super().trains_all and isinstance(self.objective, JointCtcAttention)

    def make_metric(self, stage: str) -> CorpusMetric:
        """Word and character error rates; an interval where a checkpoint is scored."""
        draws = 0 if stage == "fit" else BOOTSTRAP_DRAWS
        return MetricGroup.of(WordErrorRate(self.normaliser, draws), CharacterErrorRate(self.normaliser))

    def on_fit_start(self) -> None:
        """Measures the training data for the front-end, and counts what CTC can't learn."""
        super().on_fit_start()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, AudioDataModule) and isinstance(self.model.encoder, AudioEncoder):
            dataset = data.dataset("train")
            assert isinstance(dataset, AudioDataset)
            self._fit_statistics(self.model.encoder.frontend, dataset)
            self._warn_of_infeasible(self.model.encoder, dataset)

    def _fit_statistics(self, frontend: FrontEnd, dataset: AudioDataset) -> None:
        if frontend.needs_statistics:
            _log.info("normalise: global: listening to the training data once")
            loader = DataLoader(dataset, batch_size=16, collate_fn=dataset.collate)
            frontend.fit_statistics(batch.source for batch in loader)

    def _warn_of_infeasible(self, encoder: AudioEncoder, dataset: AudioDataset) -> None:
        """Names the utterances with fewer states than CTC needs for their tokens: it learns nothing from them."""
        fastest = max((1.0, *encoder.frontend.options.speed))
        states = encoder.output_lengths((torch.from_numpy(dataset.samples) / fastest).long())
        names = []
        for index, count in enumerate(states.tolist()):
            tokens = torch.from_numpy(dataset.targets[index][:-1].astype("int64")).unsqueeze(0)
            if not feasible(torch.tensor([count]), tokens, torch.tensor([tokens.size(1)])).item():
                names.append(dataset.utterances[index].name)
        if names:
            _log.warning(
                "train: %d of %d utterances have fewer states than CTC needs for their tokens; only attention learns "
                "from them; a coarser tokenizer or less subsampling mends it: %s%s",
                len(names), len(dataset), ", ".join(names[:5]), ", …" if len(names) > 5 else "",
            )  # fmt: skip

    def write(self, source: Source) -> list[list[Hypothesis]]:
        """Recognises B sounds as `decoding` says.

        Raises:
            ConfigError: an ensemble is asked for where CTC takes part.
        """
        if self.members and self.decoding != "attention":
            raise ConfigError(f"--ensemble needs --model.decoding attention, got {self.decoding}")
        if self.members:
            return super().write(source)
        options, demands, scorers = self.generation, self.constraints, self.scorers
        return transcribe(self.model, source, self.decoding, options, self.specials, self.ctc_weight, demands, scorers)

    def draft(self, source: Source) -> list[list[Hypothesis]]:
        """Recognises B sounds as `fit_decoding` says."""
        return transcribe(self.model, source, self.fit_decoding, self.draft_options, self.specials, self.ctc_weight)

    def validation_step(self, batch: Seq2SeqBatch, batch_idx: int) -> None:
        """Scores a batch of the validation split; notes what is pictured of its first sound during `fit`."""
        super().validation_step(batch, batch_idx)
        if self.trainer.state.fn == TrainerFn.FITTING and PICTURED in batch.ids:
            row = torch.tensor([batch.ids.index(PICTURED)], device=batch.source.lengths.device)
            source = batch.source.select(row)
            best = self.draft(source)[0][0]
            self.picture = look(self.model, source, best, self.target_tokenizer, self.source_size)

    def pictures(self) -> dict[str, Figure]:
        """The first sound of the validation split: its features, CTC's path, and the decoder's attention."""
        return {} if self.picture is None else {"val/first": self.picture.draw()}

    def on_test_epoch_start(self) -> None:
        """Begins to measure how long recognition takes."""
        super().on_test_epoch_start()
        self.heard = self.spent = 0.0

    def test_step(self, batch: Seq2SeqBatch, batch_idx: int) -> None:
        """Scores a batch of the test split."""
        begun = time.perf_counter()
        super().test_step(batch, batch_idx)
        self.spent += time.perf_counter() - begun
        self.heard += float(batch.source.lengths.sum()) / self.source_size

    def on_test_epoch_end(self) -> None:
        """Logs the scores, and how many seconds a second of sound takes on this rank: the real-time factor."""
        super().on_test_epoch_end()
        self.log("test/rtf", self.spent / max(self.heard, 1e-9), rank_zero_only=True)

    def report(self) -> str:
        """All utterances with their errors marked, the speakers, the worst utterances, the usual confusions."""
        assert self.metric is not None
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        speakers = data.speakers(self.scored) if isinstance(data, AudioDataModule) else {}
        return speech_report(self.metric.examples, speakers, self.normaliser)


def hearing(encoder: EncoderFactory, options: FrontEndOptions) -> Callable[[int], Encoder]:
    """Lets a factory of encoders of frames make encoders of sound, given the sample rate."""

    def make(sample_rate: int) -> Encoder:
        frontend = FrontEnd(sample_rate, options)
        inner = encoder(frontend.n_features)
        if not getattr(inner, "reads_waveform", False):
            return AudioEncoder(frontend, inner)
        wanted = getattr(inner, "sample_rate", sample_rate)
        if wanted != sample_rate:
            raise ConfigError(
                f"data.sample_rate is {sample_rate}, but {type(inner).__name__} was trained on sound of {wanted} Hz: "
                f"set data.sample_rate={wanted}, sounds of other rates are resampled"
            )
        return inner

    return make
