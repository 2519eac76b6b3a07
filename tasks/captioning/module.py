"""The module of captioning: the shared one, with captions' metrics, and a frozen encoder that is asked once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.batch import FrameBatch, ImageBatch
from core.data.feature_cache import FrozenFeatures
from core.data.image_datamodule import ImageDataModule
from core.encoders.image import ImageEncoder
from core.errors import ConfigError
from core.metrics.base import CorpusMetric, MetricGroup
from core.metrics.captions import CaptionTokenizer, CocoBLEU, CocoROUGE, Diversity
from core.metrics.cider import CiderD
from core.metrics.meteor import Meteor, folder
from core.module import Seq2SeqModule
from core.self_critical import SelfCritical
from tasks.captioning.baselines import caption_baselines
from tasks.captioning.builtin import BuiltInScenes
from tasks.captioning.report import caption_report
from tasks.captioning.sheet import write_sheet

BASELINE_SEED = 1
WORDS: CaptionTokenizer = "ptb"


class CaptioningModule(Seq2SeqModule):
    """Writes captions: CIDEr-D chooses the best checkpoint.

    Hands a frozen encoder to the datamodule, which keeps its features, and shows the training captions to an objective
    that scores whole captions.
    """

    task = "captioning"
    monitor, monitor_mode = "val/cider_d", "max"

    def make_metric(self, stage: str) -> CorpusMetric:
        """BLEU, ROUGE-L and CIDEr-D; how varied captions are where a checkpoint is scored; METEOR in the test."""
        metrics: list[CorpusMetric] = [CocoBLEU(WORDS), CocoROUGE(WORDS), CiderD(WORDS)]
        if stage != "fit" and (data := self.image_data) is not None:
            metrics.append(Diversity((text for texts in data.training_captions() for text in texts), WORDS))
        if stage == "test" and folder() is not None:
            metrics.append(Meteor(WORDS))
        return MetricGroup(metrics)

    @property
    def image_data(self) -> ImageDataModule | None:
        """The trainer's datamodule, where it is one of images."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        return data if isinstance(data, ImageDataModule) else None

    def setup(self, stage: str) -> None:
        """Checks that images come as the encoder reads them, and lets the datamodule keep a frozen one's features.

        Raises:
            ConfigError: images of another size or normalisation; features are to be kept that change.
        """
        encoder, data = self.model.encoder, self.image_data
        if data is None or not isinstance(encoder, ImageEncoder):
            return
        check_images(encoder, data)
        if data.features is not None and encoder.cacheable:
            data.use_features(FrozenFeatures(self.extract, encoder.fingerprint))

    @torch.inference_mode()
    def extract(self, images: ImageBatch) -> FrameBatch:
        """What the encoder's frozen part makes of images, wherever they are."""
        encoder = self.model.encoder
        assert isinstance(encoder, ImageEncoder)
        return encoder.extract(images.to(self.device))

    def on_fit_start(self) -> None:
        """Shows the training captions to an objective that needs them."""
        super().on_fit_start()
        if isinstance(self.objective, SelfCritical) and (data := self.image_data) is not None:
            self.objective.prepare(data.training_captions(), self.target_tokenizer)

    def report(self) -> str:
        """The baselines beside the scores, the images by kind where the corpus knows kinds, best and worst captions.

        Also writes the contact sheet, beside the checkpoint.
        """
        assert self.metric is not None
        data, examples = self.image_data, self.metric.examples
        if data is None or not examples:
            return ""
        split, verb = self.scored, "test" if self.scored == "test" else "validate"
        metric = MetricGroup.of(CocoBLEU(WORDS), CocoROUGE(WORDS), CiderD(WORDS))
        references = [example.references for example in examples]
        systems: dict[str, Mapping[str, float]] = {"this model": self._scores_of(metric)}
        systems |= caption_baselines(data.training_captions(), references, BASELINE_SEED, metric)
        topics: list[str] = []
        if isinstance(data.corpus, BuiltInScenes):
            systems["upper bound"] = data.corpus.upper_bound(split, metric)
            topics = data.corpus.topics(split)
        sentences = CiderD(WORDS).sentences(examples)
        checkpoint = Path(self.trainer.ckpt_path or f"{self.task}.ckpt")
        sheet = checkpoint.with_suffix(f".{verb}.html")
        write_sheet(sheet, examples, sentences, [data.image(split, example.id) for example in examples], checkpoint)
        return caption_report(systems, examples, sentences, topics) + f"\nContact sheet: {sheet}\n"

    def _scores_of(self, metric: CorpusMetric) -> dict[str, float]:
        assert self.metric is not None
        return {name: score.value for name, score in metric.score(self.metric.examples).items()}


def check_images(encoder: ImageEncoder, data: ImageDataModule) -> None:
    """Refuses images that the encoder wasn't made or trained for.

    Raises:
        ConfigError: names both sides' options.
    """
    transform = data.pixels.transform
    if transform.size != encoder.image_size:
        raise ConfigError(
            f"data.transform.size is {transform.size}, but model.encoder.image_size is {encoder.image_size}: "
            "make them the same"
        )
    theirs: dict[str, Any] = {"mean": encoder.mean, "std": encoder.std}
    for name, wanted in theirs.items():
        given = getattr(transform, name)
        if any(abs(one - other) > 1e-6 for one, other in zip(given, wanted, strict=True)):
            raise ConfigError(
                f"data.transform.{name} is {list(given)}, but {type(encoder).__name__} was made for "
                f"{list(wanted)}: set data.transform.{name} to that"
            )
