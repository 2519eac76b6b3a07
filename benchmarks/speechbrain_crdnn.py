"""SpeechBrain's CRDNN with a GRU, attention and CTC, on a manifest of ours: run by the python of its own environment.

The shape of SpeechBrain's recipes (LibriSpeech and TIMIT, seq2seq) at 2.3 M parameters, with its own front-end, loader,
augmentation, losses and beam search. It trains for so many seconds of processor time, then recognises the held-out
manifest with joint decoding, and writes what it found as one JSON object. `benchmarks.asr_peer` calls it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
from speechbrain.augment.freq_domain import SpectrogramDrop
from speechbrain.augment.time_domain import SpeedPerturb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataio import read_audio
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.decoders import CTCScorer, S2SRNNBeamSearcher, ScorerBuilder
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.CRDNN import CRDNN
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.losses import ctc_loss, nll_loss
from speechbrain.nnet.RNN import AttentionalRNNDecoder
from speechbrain.processing.features import InputNormalization
from torch import Tensor, nn

BLANK, BOS, EOS, FIRST = 0, 1, 2, 3  # ids; letters from FIRST on
RATE, MELS, WIDTH = 16000, 80, 128


class Recogniser(nn.Module):
    """Features, encoder, decoder and the two heads."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        size = FIRST + letters
        self.features = Fbank(sample_rate=RATE, n_fft=400, n_mels=MELS)
        self.normalise = InputNormalization(norm_type="global", update_until_epoch=4)
        self.drops = nn.ModuleList([SpectrogramDrop(5, 15, 2, 2, dim=1), SpectrogramDrop(8, 15, 2, 2, dim=2)])
        self.encoder = CRDNN(
            input_shape=[None, None, MELS],
            activation=nn.LeakyReLU,
            dropout=0.15,
            cnn_blocks=2,
            cnn_channels=(32, 64),
            time_pooling=True,
            time_pooling_size=2,
            rnn_class=sb.nnet.RNN.LSTM,
            rnn_layers=2,
            rnn_neurons=WIDTH,
            rnn_re_init=True,
            dnn_blocks=1,
            dnn_neurons=2 * WIDTH,
        )
        self.ctc_head = Linear(input_size=2 * WIDTH, n_neurons=size)
        self.embedding = nn.Embedding(size, WIDTH)
        self.decoder = AttentionalRNNDecoder(
            "gru",
            "location",
            WIDTH,
            WIDTH,
            1,
            enc_dim=2 * WIDTH,
            input_size=WIDTH,
            channels=10,
            kernel_size=100,
            dropout=0.15,
        )
        self.head = Linear(input_size=WIDTH, n_neurons=size)

    def encode(self, sound: Tensor, lengths: Tensor, epoch: int) -> Tensor:
        """Sound (B, L) and relative lengths (B,) to states (B, S, 2 * WIDTH)."""
        features = self.normalise(self.features(sound), lengths, epoch=epoch)
        if self.training:
            for drop in self.drops:
                features = drop(features)
        states: Tensor = self.encoder(features)
        return states

    def loss(self, batch: PaddedBatch, speed: nn.Module, epoch: int) -> Tensor:
        """The joint loss with CTC's weight 0.3."""
        sound, lengths = speed(batch.sound.data), batch.sound.lengths
        states = self.encode(sound, lengths, epoch)
        decoded, _ = self.decoder(self.embedding(batch.read.data), states, lengths)
        attention = nll_loss(
            self.head(decoded).log_softmax(-1), batch.written.data, length=batch.written.lengths, label_smoothing=0.1
        )
        ctc = self.ctc_head(states).log_softmax(-1)
        alignment = ctc_loss(ctc, batch.ids.data, lengths, batch.ids.lengths, blank_index=BLANK)
        total: Tensor = 0.7 * attention + 0.3 * alignment
        return total

    def searcher(self, beam: int) -> S2SRNNBeamSearcher:
        """Joint beam search with CTC's prefix scores."""
        scorer = ScorerBuilder(
            full_scorers=[CTCScorer(self.ctc_head, BLANK, EOS, ctc_window_size=0)], weights={"ctc": 0.3}
        )
        return S2SRNNBeamSearcher(
            self.embedding, self.decoder, self.head, bos_index=BOS, eos_index=EOS, min_decode_ratio=0.0,
            max_decode_ratio=1.0, beam_size=beam, scorer=scorer, temperature=1.25, using_eos_threshold=False,
        )  # fmt: skip


def read_manifest(path: Path, letters: str) -> DynamicItemDataset:
    """Reads a manifest of lines with audio, text and duration."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    data = {
        str(number): {"path": str(path.parent / row["audio"]), "text": row["text"], "duration": row["duration"]}
        for number, row in enumerate(rows)
    }
    dataset = DynamicItemDataset(data)

    def spelled(text: str) -> list[int]:
        return [FIRST + letters.index(letter) for letter in text]

    dataset.add_dynamic_item(read_audio, takes="path", provides="sound")
    dataset.add_dynamic_item(lambda text: torch.tensor(spelled(text)), takes="text", provides="ids")
    dataset.add_dynamic_item(lambda text: torch.tensor([BOS, *spelled(text)]), takes="text", provides="read")
    dataset.add_dynamic_item(lambda text: torch.tensor([*spelled(text), EOS]), takes="text", provides="written")
    dataset.set_output_keys(["id", "sound", "ids", "read", "written", "text", "duration"])
    return dataset


def train(model: Recogniser, dataset: DynamicItemDataset, options: argparse.Namespace) -> tuple[float, int, float]:
    """Trains for the given processor time, the rate falling to zero: seconds of sound, updates, processor seconds."""
    durations = [dataset.data[key]["duration"] for key in dataset.data_ids]
    sampler = DynamicBatchSampler(dataset, options.batch_seconds, num_buckets=20, lengths_list=durations)
    loader = sb.dataio.dataloader.make_dataloader(dataset, batch_sampler=sampler, collate_fn=PaddedBatch, num_workers=0)
    speed = SpeedPerturb(RATE, [90, 100, 110])
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=0.01)
    heard, updates, epoch = 0.0, 0, 0
    begin = time.process_time()
    model.train()
    while (share := (time.process_time() - begin) / options.seconds) < 1:
        epoch += 1
        sampler.set_epoch(epoch)
        for batch in loader:
            share = (time.process_time() - begin) / options.seconds
            for group in optimizer.param_groups:
                group["lr"] = options.lr * min(1.0, (updates + 1) / 100) * max(1 - share, 0.01)
            loss = model.loss(batch, speed, epoch)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            heard, updates = heard + float(sum(batch.duration)), updates + 1
            if updates % 50 == 0:
                print(f"update {updates} epoch {epoch} loss {float(loss):.3f} {share:.0%}", flush=True)
            if share >= 1:
                break
    return heard, updates, time.process_time() - begin


def recognise(
    model: Recogniser, dataset: DynamicItemDataset, letters: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Recognises a manifest: references, hypotheses, processor seconds."""
    loader = sb.dataio.dataloader.make_dataloader(dataset, batch_size=options.batch_size, collate_fn=PaddedBatch)
    searcher = model.eval().searcher(options.beam)
    references, hypotheses, heard = [], [], 0.0
    begin = time.process_time()
    with torch.inference_mode():
        for batch in loader:
            states = model.encode(batch.sound.data, batch.sound.lengths, epoch=10**6)
            found, *_ = searcher(states, batch.sound.lengths)
            hypotheses += ["".join(letters[index - FIRST] for index in row if index >= FIRST) for row in found]
            references += batch.text
            heard += float(sum(batch.duration))
    seconds = time.process_time() - begin
    return {"references": references, "hypotheses": hypotheses, "rtf": seconds / heard}


def main() -> None:
    """Trains, recognises, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of processor time for training")
    parser.add_argument("--batch_seconds", type=float, default=20.0)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--beam", type=int, default=6)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    texts = [json.loads(line)["text"] for line in options.train.read_text().splitlines()]
    letters = "".join(sorted(set("".join(texts))))
    model = Recogniser(len(letters))
    heard, updates, seconds = train(model, read_manifest(options.train, letters), options)
    found = recognise(model, read_manifest(options.test, letters), letters, options)
    size = sum(parameter.numel() for parameter in model.parameters())
    found |= {"parameters": size, "updates": updates, "pace": heard / seconds, "minutes": seconds / 60}
    options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
