"""A training run's folder, read while the run writes it."""

import json
import os
import pathlib


def is_run(folder):
    return (folder / "config.yaml").is_file()


class RunFolder:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._inode = None
        self._read = 0  # bytes of metrics.jsonl, up to the end of a line

    def config_text(self):
        return (self.path / "config.yaml").read_text(encoding="utf-8")

    def finished(self, steps):
        """Whether the checkpoint of the last step is there. A run that stopped earlier can be resumed."""
        try:
            newest = os.readlink(self.path / "checkpoints" / "latest")
            return int(newest.removeprefix("step-")) >= steps
        except (OSError, ValueError):
            return False

    def new_lines(self):
        """[(step, {name: number})] of the whole lines since the last call; all lines again where a resumed run has cut
        the file back to its checkpoint. A number that is not finite, null in the file, is left out."""
        try:
            file = (self.path / "metrics.jsonl").open("rb")
        except FileNotFoundError:
            return []
        with file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._read:
                self._inode, self._read = status.st_ino, 0
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = [json.loads(line) for line in whole.splitlines()]
        return [(line.pop("step"), {name: value for name, value in line.items() if value is not None}) for line in lines]

    def pictures(self):
        """[(step, path)] of the sample grids, in the order of their steps."""
        return sorted((int(path.stem.removeprefix("step-")), path) for path in self.path.glob("samples/step-*.png"))
