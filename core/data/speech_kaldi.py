"""Speech corpora in Kaldi's data directories (kaldi-asr.org/doc/data_prep.html)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from core.audio.clip import AudioClip
from core.data.corpus import Split, split_path
from core.data.speech import SplitSpeech, Utterance
from core.data.text import read_lines
from core.errors import DataError

Table = dict[str, tuple[int, str]]  # by the first field of a line: the line's number, and the rest of it

MEND = "Kaldi's utils/fix_data_dir.sh makes the files agree"


class KaldiSpeech(SplitSpeech):
    """One directory for each split, with wav.scp and text, and where there are any, segments and utt2spk.

    wav.scp must name files: commands that end in a pipe are never run, and archives aren't read.

    Args:
        train: the training directory.
        val: the validation directory; None where there is none, or `held_out` makes it.
        test: the test directory.
        audio_folder: where relative paths in wav.scp start; None for the directory itself.
        held_out: share of the training utterances that is kept for validation, whole speakers where they are known.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        audio_folder: Path | None = None,
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.audio_folder = audio_folder

    def read_split(self, split: Split) -> list[Utterance]:
        """Reads a split as it is stored, in the order of segments, or else of wav.scp.

        Raises:
            ConfigError: the split has no directory.
            DataError: a file is missing, empty or not UTF-8; a line can't be read or stands twice; wav.scp has a
                command or an archive; the files don't agree on the utterances.
        """
        folder = Path(split_path(self.paths, split))
        texts = read_table(folder / "text")
        clips = self.clips(folder)
        speakers = read_table(folder / "utt2spk") if (folder / "utt2spk").exists() else {}
        _agree(folder / "text", texts, clips)
        if speakers:
            _agree(folder / "utt2spk", speakers, clips)
        return [
            Utterance(row, clip, texts[name][1], name, speakers[name][1] if speakers else "", clip.duration)
            for row, (name, clip) in enumerate(clips.items())
        ]

    def clips(self, folder: Path) -> dict[str, AudioClip]:
        """The sounds of a directory's utterances, by utterance."""
        start = folder if self.audio_folder is None else Path(self.audio_folder)
        scp, segments = folder / "wav.scp", folder / "segments"
        files = {name: start / sound_file(value, scp, line) for name, (line, value) in read_table(scp).items()}
        if not segments.exists():
            return {name: AudioClip(path) for name, path in files.items()}
        return {
            name: segment_clip(value, files, segments, line) for name, (line, value) in read_table(segments).items()
        }


def read_table(path: Path) -> Table:
    """Reads a file whose lines are a key, white space, and a value that may be empty.

    Raises:
        DataError: the file is missing, empty or not UTF-8; a line has no key; a key stands twice.
    """
    table: Table = {}
    for number, line in enumerate(read_lines(path), start=1):
        key, *rest = line.split(maxsplit=1) or [""]
        if not key:
            raise DataError("a line must begin with a name", path, number)
        if key in table:
            raise DataError(f"{key!r} stands in line {table[key][0]} already", path, number)
        table[key] = (number, rest[0].rstrip() if rest else "")
    return table


def sound_file(value: str, path: Path, line: int) -> str:
    """What a line of wav.scp names.

    Raises:
        DataError: nothing, a command, or a place in an archive.
    """
    if not value:
        raise DataError("names no file", path, line)
    if value.endswith("|") or value.startswith("|"):
        raise DataError(f"has a command, and commands are not run: write its output into a file: {value}", path, line)
    if value == "-" or re.search(r"\.ark:\d+$", value):
        raise DataError(f"must name a sound file (Kaldi's `wav-copy` unpacks archives), got {value}", path, line)
    return value


def segment_clip(value: str, files: Mapping[str, Path], path: Path, line: int) -> AudioClip:
    """A line of segments, without the utterance's name: the recording's, start and end in seconds; -1 is its end.

    Raises:
        DataError: the line isn't of that form, or there is no such recording.
    """
    name, *times = value.split()
    if len(times) != 2:
        raise DataError(f"must be: utterance recording start end; after the utterance it has {value!r}", path, line)
    if name not in files:
        raise DataError(f"there is no recording {name!r} in wav.scp; {MEND}", path, line)
    try:
        start, end = map(float, times)
    except ValueError:
        raise DataError(f"start and end must be seconds, got {' '.join(times)}", path, line) from None
    if not (start >= 0 and (end > start or end == -1)):
        raise DataError(f"the end must lie behind the start, got {' '.join(times)}", path, line)
    return AudioClip(files[name], offset=start, duration=None if end == -1 else end - start)


def _agree(path: Path, table: Table, clips: Mapping[str, AudioClip]) -> None:
    """Sees to it that a file has a line for each utterance, and no other.

    Raises:
        DataError: it has not.
    """
    for name, (line, _) in table.items():
        if name not in clips:
            raise DataError(f"there is no sound for {name!r} in wav.scp or segments; {MEND}", path, line)
    for name in clips:
        if name not in table:
            raise DataError(f"there is no line for the utterance {name!r}; {MEND}", path)
