"""The LightningModule that all tasks share: training, scoring, generating, and what a checkpoint carries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from core.batch import Seq2SeqBatch, Source, shift_right
from core.checkpoint import KEY, card, read_checkpoint
from core.data.corpus import Split
from core.data.vocabularies import Vocabularies
from core.decoders.base import Decoder
from core.distributed import union_over_ranks, world_size
from core.encoders.base import Encoder
from core.encoders.freezing import Freezable
from core.errors import CheckpointError, ConfigError
from core.explain import shape_of
from core.generation import GenerationOptions, Hypothesis, generate
from core.generation.phrases import Phrases
from core.language_model.options import LanguageModelOptions
from core.metrics.base import CorpusMetric
from core.objectives import CrossEntropy, Loss, Objective, required_target, target_loss
from core.optim import Schedule, parameter_groups
from core.seq2seq import EncoderDecoder
from core.seq2seq import tie_embeddings as tie_embedding_tables
from core.sharding import gather, is_sharded, scatter, shard
from core.updates import UpdateGuard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EncoderFactory = Callable[[int], Encoder]
DecoderFactory = Callable[[int, int], Decoder]
NO_SAMPLING: dict[str, Any] = {"sample": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
SAMPLES = 3  # the first sentences of a split, shown at each validation

OptimizerFactory = Callable[[Iterable[nn.Parameter] | Iterable[dict[str, Any]]], Optimizer]


class Seq2SeqModule(LightningModule):
    """Trains and runs an encoder-decoder; a task subclasses it once and adds its metrics.

    Args:
        source_size: the size of the encoder's input; the datamodule knows it.
        vocabularies: the tokenizers of both sides; the datamodule has them.
        encoder: made with the source's size.
        decoder: made with the target's vocabulary size and the encoder's width.
        objective: what a training step minimises.
        optimizer: made with the parameters that are trained.
        schedule: of its learning rate.
        generation: how `validate`, `test` and `predict` write; the validations during `fit` do it greedily.
        phrases: what the targets begin with, contain or don't contain; the validations during `fit` ignore it.
        tie_embeddings: the source's and the target's embeddings are one table (and the head with them, where the
            decoder ties it).
        skip_patience: how many updates in a row may be skipped for not being finite.
        language_model: what judges the targets too; for `validate`, `test` and `predict`, not for `fit`.
    """

    task = "seq2seq"
    monitor, monitor_mode = "val/loss", "min"

    def __init__(
        self,
        source_size: int,
        vocabularies: Vocabularies,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        objective: Objective | None = None,
        optimizer: OptimizerFactory = lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
        schedule: Schedule = Schedule(),  # noqa: B008 (frozen)
        generation: GenerationOptions = GenerationOptions(),  # noqa: B008 (frozen)
        phrases: Phrases = Phrases(),  # noqa: B008 (frozen)
        tie_embeddings: bool = False,
        skip_patience: int = 20,
        language_model: LanguageModelOptions = LanguageModelOptions(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__()
        self.source_size = source_size
        self.vocabularies = vocabularies
        self.target_tokenizer = vocabularies.target
        self.specials = self.target_tokenizer.specials
        encoder_part = encoder(source_size)
        decoder_part = decoder(len(self.target_tokenizer), encoder_part.d_model)
        if tie_embeddings:
            tie_embedding_tables(encoder_part, decoder_part)
        if decoder_part.copies:
            vocabularies.require_shared()
        self.model = self.join(encoder_part, decoder_part)
        self.objective = CrossEntropy() if objective is None else objective
        self.optimizer_factory = optimizer
        self.schedule = schedule
        self.generation = generation
        self.constraints = phrases.encode(self.target_tokenizer)
        self.language_model = language_model
        self.scorers = language_model.scorers(self.target_tokenizer, decoder_part)
        self.guard = UpdateGuard(skip_patience)
        self.config: dict[str, Any] = {}
        self.members: list[EncoderDecoder] = []
        self.metric: CorpusMetric | None = None
        self.scored: Split = "val"  # the split that was scored last: a trainer that is done no longer tells
        self.samples: list[tuple[str, str, str]] = []
        self.seed = 0
        self.target_tokens_seen = 0
        self.at_work = "the way to the first batch"  # in words, for the message of an error
        self._scores: dict[tuple[int, ...], Tensor] = {}
        self._freezable: list[Freezable] = []

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Makes the module of a checkpoint, ready to generate, without a command line or a datamodule.

        Raises:
            CheckpointError: see `core.checkpoint.read_checkpoint`.
        """
        from jsonargparse import ArgumentParser

        checkpoint = read_checkpoint(path, cls.task)
        about = checkpoint[KEY]
        parser = ArgumentParser(exit_on_error=False)
        skipped: set[str | int] = {"source_size", "vocabularies"}
        parser.add_class_arguments(cls, "model", fail_untyped=False, sub_configs=True, skip=skipped, instantiate=False)
        config = parser.parse_object({"model": about["config"]["model"]})
        options = parser.instantiate(config).model.as_dict()
        vocabularies = Vocabularies.from_state(about["tokenizers"])
        module = cls(source_size=about["source_size"], vocabularies=vocabularies, **options)
        module.config = about["config"]
        module.load_state_dict(checkpoint["state_dict"])
        return module.eval()

    def join(self, encoder: Encoder, decoder: Decoder) -> EncoderDecoder:
        """Makes the model of its parts; a task whose model has more of them adds these here."""
        return EncoderDecoder(encoder, decoder)

    def make_metric(self, stage: str) -> CorpusMetric:
        """The metric of a stage ("fit", "validate" or "test"): a task says which."""
        raise NotImplementedError

    # Training

    def configure_model(self) -> None:
        """Shares the model out over the ranks where the strategy has a mesh of devices; all else is made already."""
        if self._device_mesh is not None and not is_sharded(self.model):
            shard(self.model, self.trainer.strategy.root_device)

    def on_fit_start(self) -> None:
        """Notes the run's seed before anything draws from it, and what is frozen up to some update."""
        self.seed = self.objective.seed = torch.initial_seed()
        self._freezable = [part for part in self.modules() if isinstance(part, Freezable)]

    @property
    def trains_all(self) -> bool:
        """Whether each update has a gradient for all parameters that the optimizer has; if not, DDP must be told."""
        frozen = (part for part in self.modules() if isinstance(part, Freezable) and part.freeze)
        return self.objective.trains_all(self.model) and all(part.unfreeze_at is None for part in frozen)

    def on_train_batch_start(self, batch: Seq2SeqBatch, batch_idx: int) -> None:
        """Seeds the batch's dropout by its place in the run: ranks draw apart, and a resumed run draws the same.

        Also tells parts that begin frozen which update it is.
        """
        self.at_work = shape_of(batch)
        for part in self._freezable:
            part.set_step(self.global_step)
        torch.manual_seed(batch_seed(self.seed, self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, batch: Seq2SeqBatch, batch_idx: int) -> Tensor:
        """Sums the objective over the batch's tokens; `configure_gradient_clipping` divides by the whole step's."""
        loss: Loss = self.objective(self.model, batch, self.specials, self.global_step)
        if not batch.counts:
            loss = loss.weightless()
        self.guard.add(loss.total, loss.tokens, batch.ids)
        if batch.counts:
            self._log_loss(loss, len(batch))
        return loss.total

    def _log_loss(self, loss: Loss, size: int) -> None:
        self.target_tokens_seen += int(loss.tokens)
        self.log("train/loss", loss.total.detach() / loss.tokens, batch_size=size, prog_bar=True)
        self.log("train/nll", loss.nll / loss.tokens, batch_size=size)
        for name, part in loss.parts.items():
            self.log(f"train/{name}", part / loss.tokens, batch_size=size)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Makes the step's gradient the mean over its tokens, clips it, or drops a step that isn't finite."""
        if gradient_clip_algorithm not in (None, "norm"):
            raise ConfigError(f"trainer.gradient_clip_algorithm must be norm, got {gradient_clip_algorithm}")
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        divided_by = world_size() * self.trainer.accumulate_grad_batches
        if not self.guard.finish(parameters, gradient_clip_val, divided_by):
            self.log("train/skipped_updates", float(self.guard.skipped))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Makes the optimizer of all parameters that are trained, and its schedule by update."""
        optimizer = self.optimizer_factory(parameter_groups(self))
        scheduler = self.schedule.attach(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    # Scoring

    def validation_step(self, batch: Seq2SeqBatch, batch_idx: int) -> None:
        """Scores a batch of the validation split."""
        self._evaluate(batch)

    def test_step(self, batch: Seq2SeqBatch, batch_idx: int) -> None:
        """Scores a batch of the test split."""
        self._evaluate(batch)

    def predict_step(self, batch: Seq2SeqBatch, batch_idx: int) -> list[list[tuple[str, Hypothesis]]]:
        """Writes targets: for each source its n best texts with what they scored."""
        return self.generate_texts(batch)

    def on_validation_epoch_start(self) -> None:
        """Begins a metric anew."""
        self._begin_scoring("fit" if self.trainer.state.fn == TrainerFn.FITTING else "validate")

    def on_test_epoch_start(self) -> None:
        """Begins a metric anew."""
        self._begin_scoring("test")

    def on_validation_start(self) -> None:
        """Gathers what is in shards."""
        gather(self.model)

    def on_validation_end(self) -> None:
        """Gives it back."""
        scatter(self.model)

    def on_validation_epoch_end(self) -> None:
        """Logs the scores of the whole split."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Logs the scores of the whole split."""
        self._log_scores("test")

    def _begin_scoring(self, stage: str) -> None:
        self.scored = "test" if stage == "test" else "val"
        self.metric = self.make_metric(stage)
        self.samples = []
        self._scores = {}

    def _evaluate(self, batch: Seq2SeqBatch) -> None:
        assert self.metric is not None
        self.at_work = shape_of(batch)
        target = required_target(batch)
        inputs = shift_right(target.values, self.specials.bos)
        loss = target_loss(self.model.decoder, inputs, target, self.model.encode(batch.source), smoothing=0.0)
        self._scores[batch.ids] = torch.stack([loss.nll.double(), loss.tokens.double()])
        fitting = self.trainer.state.fn == TrainerFn.FITTING  # many validations: the cheapest search tells enough
        found = self.draft(batch.source) if fitting else self.write(batch.source)
        hypotheses = [self.target_tokenizer.decode(list(best.tokens)) for best, *_ in found]
        self.metric.update(batch.ids, hypotheses, batch.references, batch.source_texts)
        shown = zip(batch.ids, batch.source_texts, batch.references, hypotheses, strict=True)
        for number, source, references, text in shown:
            if number < SAMPLES:
                self.samples.append((source, references[0], text))

    def _log_scores(self, prefix: str) -> None:
        assert self.metric is not None
        # By the batch's ids: where there are fewer batches than ranks need, some see one that another has seen.
        sums = union_over_ranks({ids: tuple(pair.tolist()) for ids, pair in self._scores.items()}).values()
        loss = sum(nll for nll, _ in sums) / max(sum(tokens for _, tokens in sums), 1)
        scores = {"loss": loss, "perplexity": math.exp(min(loss, 100.0)), **self.metric.compute()}
        for name, value in scores.items():
            self.log(f"{prefix}/{name}", value, prog_bar=f"{prefix}/{name}" == self.monitor)

    # Generation

    def generate_texts(self, batch: Seq2SeqBatch) -> list[list[tuple[str, Hypothesis]]]:
        """Writes the target of each source of a batch: B lists of n_best texts, best first."""
        decode = self.target_tokenizer.decode
        found = self.write(batch.source)
        return [[(decode(list(each.tokens)), each) for each in hypotheses] for hypotheses in found]

    def write(self, source: Source) -> list[list[Hypothesis]]:
        """Writes the targets of B sources as the options say: for each its n_best hypotheses, best first."""
        models = [self.model, *self.members]
        return generate(models, source, self.generation, self.specials, self.constraints, self.scorers)

    def draft(self, source: Source) -> list[list[Hypothesis]]:
        """Writes the targets of B sources in the cheapest way, one for each."""
        return generate(self.model, source, self.draft_options, self.specials)

    @property
    def draft_options(self) -> GenerationOptions:
        """The options of generation without a beam and without draws."""
        return replace(self.generation, beam_size=1, n_best=1, **NO_SAMPLING)

    def report(self) -> str:
        """What a person may want to read beside the last scores of a split; empty where the scores tell all."""
        return ""

    def pictures(self) -> dict[str, Figure]:
        """Pictures of the last validation, by name, for loggers that show them; none where a task draws none."""
        return {}

    def add_member(self, member: Seq2SeqModule, name: str) -> None:
        """Lets another model's probabilities count as much as this one's.

        Raises:
            CheckpointError: it writes another vocabulary.
        """
        if member.target_tokenizer.fingerprint != self.target_tokenizer.fingerprint:
            raise CheckpointError(f"ensemble: {name} has another target vocabulary than the first checkpoint")
        self.members.append(member.model.eval().to(self.device))

    # What Lightning asks

    def transfer_batch_to_device(self, batch: Seq2SeqBatch, device: torch.device, dataloader_idx: int) -> Seq2SeqBatch:
        """Moves our frozen batches, which Lightning can't."""
        return batch.to(device, non_blocking=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the weights alone don't tell."""
        config = portable(self.config, self.model)
        checkpoint[KEY] = card(self.task, self.source_size, config, self.vocabularies.state())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses weights that were trained with another vocabulary."""
        theirs_of_both = Vocabularies.from_state(checkpoint[KEY]["tokenizers"])
        for side in ("source", "target"):
            tokenizer, theirs = getattr(self.vocabularies, side), getattr(theirs_of_both, side)
            if tokenizer is not None and theirs.fingerprint != tokenizer.fingerprint:
                raise CheckpointError(
                    f"the {side} vocabulary ({tokenizer.fingerprint}, {len(tokenizer)} types) doesn't belong to the "
                    f"checkpoint, which was trained with {theirs.fingerprint} ({len(theirs)} types): leave "
                    "data.tokenizers out, the checkpoint carries its own"
                )


def portable(config: dict[str, Any], model: EncoderDecoder) -> dict[str, Any]:
    """Adds to a run's options those with which its parts can be made where what they were made from isn't."""
    config = deepcopy(config)
    for name, part in model.named_children():
        if config and isinstance(part, Encoder | Decoder) and (options := part.portable_options()):
            config["model"][name].setdefault("init_args", {}).update(options)
    return config


def batch_seed(*place: int) -> int:
    """A seed of 64 bits that follows from the run's own seed and a batch's place, on all machines alike."""
    digest = sha256(" ".join(map(str, place)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
