#!/usr/bin/env python3
"""Sends a training run's metrics, sample grids and configuration to Weights & Biases or MLflow, from its folder alone.

    .venv/bin/python scripts/track.py RUN --to wandb|mlflow [--follow] [--project NAME] [--name NAME]

Without --follow it sends what is there. With it, it goes on until the checkpoint of the run's last step is there, or Ctrl-C; a
run that was interrupted may be resumed, so it waits. What was sent is noted in RUN/tracking/, so that it can be run again at any
time: nothing is sent twice, also when a resumed run writes steps again that it had done before. A run that is started over with
--force loses the note with its other files, and becomes a new run of the tracker.

`scripts/setup.sh --track` installs both. They are configured by their own environment variables: WANDB_MODE=offline,
MLFLOW_TRACKING_URI=sqlite:///mlflow.db.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import sys
import time

import run_folder
import trackers

LINES_AT_ONCE = 50  # MLflow takes 1000 numbers in a request


class Mistake(Exception):
    """Of the user's; one line."""


class Note:
    """RUN/tracking/TRACKER.json: which run of the tracker this is, and up to which steps lines and pictures were sent."""

    def __init__(self, folder, tracker):
        self.path = folder / f"{tracker}.json"
        self.run_id, self.lines, self.pictures = None, 0, 0
        if self.path.exists():
            note = json.loads(self.path.read_text())
            self.run_id, self.lines, self.pictures = note["run_id"], note["lines"], note["pictures"]

    def write(self):
        """Where the run was started over there is no folder any more, and nothing to note."""
        beside = self.path.with_suffix(".tmp")
        with contextlib.suppress(FileNotFoundError):
            beside.write_text(json.dumps({"run_id": self.run_id, "lines": self.lines, "pictures": self.pictures}))
            os.replace(beside, self.path)


class Sending:
    """One run of a tracker, from the first step that it does not have yet."""

    def __init__(self, folder, note, make_tracker):
        import yaml

        self.run, self.note, self._load = run_folder.RunFolder(folder), note, yaml.safe_load
        self._config_text = self.run.config_text()
        self._tracker = make_tracker(note.run_id, self._load(self._config_text), note.path.parent)
        note.path.parent.mkdir(exist_ok=True)
        note.run_id = self._tracker.run_id
        note.lines = max(note.lines, self._tracker.sent)
        note.write()

    def started_over(self):
        return not self.note.path.exists()

    def send_news(self):
        """True when the run has finished and all of it was sent."""
        finished = self.run.finished(self._load(self._config_text)["train"]["steps"])  # before what it wrote is read
        config_text = self.run.config_text()
        if config_text != self._config_text:  # resumed with other settings
            self._config_text = config_text
            self._tracker.config(self._load(config_text))
            finished = False
        lines = [(step, numbers) for step, numbers in self.run.new_lines() if step > self.note.lines]
        pictures = [(step, path) for step, path in self.run.pictures() if step > self.note.pictures]
        for step, path in pictures:
            lines = self._send_lines(lines, step)
            self._tracker.picture(step, path)
            self.note.pictures = step
            self.note.write()
        self._send_lines(lines, float("inf"))
        return finished

    def _send_lines(self, lines, last):
        """Those up to step `last`; returns the others."""
        due = [line for line in lines if line[0] <= last]
        for first in range(0, len(due), LINES_AT_ONCE):
            some = due[first : first + LINES_AT_ONCE]
            self._tracker.lines(some)
            self.note.lines = some[-1][0]
            self.note.write()
        return lines[len(due) :]

    def close(self, finished):
        self._tracker.close(finished)


def track(folder, tracker_name, make_tracker, follow, seconds):
    """Sends the run, and with `follow` looks for news every `seconds` until it has finished."""
    finished = False
    while not finished:
        sending = Sending(folder, Note(folder / "tracking", tracker_name), make_tracker)
        try:
            finished = sending.send_news()
            while follow and not finished:
                time.sleep(seconds)
                if not run_folder.is_run(folder):  # between the end of one run and the start of the next in its folder
                    continue
                if sending.started_over():
                    break
                finished = sending.send_news()
        finally:
            sending.close(finished)
        if not follow:
            break
    return finished


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path, help="the folder that a trainer's --out names")
    parser.add_argument("--to", required=True, choices=trackers.TRACKERS)
    parser.add_argument("--follow", action="store_true", help="go on until the run has finished")
    parser.add_argument("--project", default="consistency", help="project (W&B) or experiment (MLflow); default: %(default)s")
    parser.add_argument("--name", help="default: the folder's")
    parser.add_argument("--every", type=float, default=10, metavar="SECONDS", help="between two looks; default: %(default)s")
    return parser.parse_args()


def run_command(arguments):
    folder = arguments.run.resolve()
    if not run_folder.is_run(folder):
        raise Mistake(f"{arguments.run}: holds no run (config.yaml); name the folder that a trainer's --out names")
    name = arguments.name or folder.name

    def make_tracker(run_id, config, tracking):
        return trackers.TRACKERS[arguments.to](run_id, arguments.project, name, config, tracking)

    try:
        finished = track(folder, arguments.to, make_tracker, arguments.follow, arguments.every)
    except ImportError as missing:
        raise Mistake(f"{missing}; scripts/setup.sh --track installs what --to {arguments.to} needs") from missing
    print(f"{arguments.run}: sent, the run has {'finished' if finished else 'not finished yet'}")


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_command(parse_arguments())
    except Mistake as mistake:
        print(f"track.py: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("track.py: stopped; the same command goes on from here", file=sys.stderr)
    except Exception as error:  # the trackers' own, of many kinds
        print(f"track.py: {type(error).__name__}: {' '.join(str(error).split())}; the same command goes on from here", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
