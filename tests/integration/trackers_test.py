"""scripts/track.py into the trackers' own files, without a network: what they stored is read back and compared.

CM_TRACK_PYTHON names a Python that has wandb and mlflow; the default is the one that runs this.
"""

import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("CM_TRACK_PYTHON", sys.executable)
NEEDED = "import wandb, mlflow, sqlalchemy, alembic, numpy, PIL, yaml"
SECONDS = 120

sys.dont_write_bytecode = True

CONFIG = "objective: edm\ntrain:\n  steps: 4\n  batch_size: 8\noptimizer:\n  lr: 0.5\n"
LINES = [{"step": step, "loss": 1 / step, "learning_rate": 0.5, "skipped": None} for step in range(1, 5)]
NUMBERS = [(step, {"loss": 1 / step, "learning_rate": 0.5}) for step in range(1, 5)]

READ_MLFLOW = """
import json, sys, mlflow
from PIL import Image
client = mlflow.MlflowClient()
[experiment] = [e for e in client.search_experiments() if e.name == "consistency"]
runs = client.search_runs([experiment.experiment_id])
for run in runs:
    id = run.info.run_id
    history = {key: [(m.step, m.value) for m in client.get_metric_history(id, key)] for key in run.data.metrics}
    images = [a.path for a in client.list_artifacts(id, "images") if a.path.endswith(".png")]
    pixels = [Image.open(client.download_artifacts(id, image)).getpixel((0, 0)) for image in sorted(images)]
    print(json.dumps([run.info.status, run.info.run_name, run.data.params, history, sorted(images), pixels]))
"""

READ_WANDB = """
import json, sys
from google.protobuf.json_format import MessageToDict
from wandb.proto import wandb_internal_pb2
for line in sys.stdin:
    record = wandb_internal_pb2.Record.FromString(bytes.fromhex(line))
    print(json.dumps(MessageToDict(record, preserving_proto_field_name=True)))
"""


def wandb_records(path):
    """The records of a .wandb file: LevelDB's log format after a header of 7 bytes, in blocks of 32 KiB."""
    data, at, records, part = path.read_bytes(), 7, [], b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(part)
            part = b""
    return records


class TrackersTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cm-trackers-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.run_folder = self.folder / "my run"
        (self.run_folder / "samples").mkdir(parents=True)
        (self.run_folder / "config.yaml").write_text(CONFIG)
        self.environment = os.environ | {
            "WANDB_MODE": "offline",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
            "HOME": str(self.folder),
        }

    def say(self, lines):
        with (self.run_folder / "metrics.jsonl").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def draw(self, step):
        self.python("import sys; from PIL import Image; Image.new('L', (8, 8), int(sys.argv[1])).save(sys.argv[2])",
                    str(step), str(self.run_folder / "samples" / f"step-{step:08}.png"))  # fmt: skip

    def finish(self):
        (self.run_folder / "checkpoints").mkdir()
        (self.run_folder / "checkpoints" / "latest").symlink_to("step-00000004")

    def python(self, code, *arguments, **more):
        done = subprocess.run([PYTHON, "-c", code, *arguments], capture_output=True, text=True, cwd=self.folder,
                              env=self.environment, timeout=SECONDS, check=True, **more)  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "{"))]

    def command(self, tracker, *arguments):
        return [PYTHON, str(SOURCE / "scripts" / "track.py"), str(self.run_folder), "--to", tracker, *arguments]

    def track(self, tracker, *arguments):
        done = subprocess.run(self.command(tracker, *arguments), capture_output=True, text=True, cwd=self.folder,
                              env=self.environment, timeout=SECONDS, check=False)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def half_then_all(self, tracker):
        """Sent in two parts, the second by a process that follows."""
        self.say(LINES[:2])
        self.draw(2)
        self.assertIn("has not finished yet", self.track(tracker).stdout)
        self.say(LINES[2:])
        self.draw(4)
        self.finish()
        self.assertIn("the run has finished", self.track(tracker, "--follow", "--every", "0.1").stdout)
        self.track(tracker)  # nothing is left

    def test_mlflow(self):
        self.half_then_all("mlflow")
        [[status, name, params, history, images, pixels]] = self.python(READ_MLFLOW)
        self.assertEqual((status, name), ("FINISHED", "my run"))
        self.assertEqual(params, {"objective": "edm", "train.steps": "4", "train.batch_size": "8", "optimizer.lr": "0.5"})
        expected = {key: [[step, numbers[key]] for step, numbers in NUMBERS] for key in ("loss", "learning_rate")}
        self.assertEqual(history, expected)
        self.assertEqual(pixels, [2, 4])
        self.assertRegex(images[0], r"/samples\D+step\D+2\D")

    def test_mlflow_knows_what_it_has(self):
        """Where the process died between sending and noting."""
        self.say(LINES[:2])
        self.track("mlflow")
        [note] = (self.run_folder / "tracking").glob("mlflow.json")
        note.write_text(json.dumps(json.loads(note.read_text()) | {"lines": 0}))
        self.say(LINES[2:])
        self.track("mlflow")
        [[_, _, _, history, _, _]] = self.python(READ_MLFLOW)
        self.assertEqual([step for step, _ in history["loss"]], [1, 2, 3, 4])

    def test_wandb(self):
        self.half_then_all("wandb")
        history, configs, ids = {}, [], set()
        for path in sorted((self.run_folder / "tracking" / "wandb").glob("offline-run-*/*.wandb")):
            lines = "".join(record.hex() + "\n" for record in wandb_records(path))
            for record in self.python(READ_WANDB, input=lines):
                if "run" in record:
                    ids.add(record["run"]["run_id"])
                    configs.append({item["key"]: json.loads(item["value_json"]) for item in record["run"]["config"]["update"]})
                for row in [record["history"]] if "history" in record else []:
                    step = int(row["step"]["num"])
                    self.assertNotIn(step, history, "sent twice")
                    history[step] = {
                        "/".join(item.get("nested_key") or [item["key"]]): json.loads(item["value_json"]) for item in row["item"]
                    }
        self.assertEqual(len(ids), 1)
        self.assertEqual(configs[0]["train"], {"steps": 4, "batch_size": 8})
        self.assertEqual(sorted(history), [1, 2, 3, 4])
        for step, numbers in NUMBERS:
            self.assertEqual({key: history[step][key] for key in numbers}, numbers)
        self.assertEqual([step for step in history if any(key.startswith("samples") for key in history[step])], [2, 4])
        pictures = sorted((self.run_folder / "tracking").rglob("samples_*.png"))
        self.assertEqual([path.name.split("_")[1] for path in pictures], ["2", "4"])
        grids = sorted((self.run_folder / "samples").iterdir())
        self.assertEqual([path.read_bytes() for path in pictures], [path.read_bytes() for path in grids])

    def test_ctrl_c_ends_it_cleanly(self):
        self.say(LINES[:2])
        for tracker in ("wandb", "mlflow"):
            note = self.run_folder / "tracking" / f"{tracker}.json"
            with self.subTest(tracker):
                command = self.command(tracker, "--follow", "--every", "0.1")
                with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.folder,
                                      env=self.environment, start_new_session=True) as follower:  # fmt: skip
                    end = time.time() + SECONDS
                    while time.time() < end and not (note.exists() and json.loads(note.read_text())["lines"] == 2):
                        time.sleep(0.05)
                    os.killpg(follower.pid, signal.SIGINT)  # as a terminal does, to children too
                    _, err = follower.communicate(timeout=SECONDS)
                self.assertEqual(follower.returncode, 0, err)
                self.assertTrue(err.rstrip().endswith("track.py: stopped; the same command goes on from here"), err)
                self.assertNotIn("Traceback", err)


if __name__ == "__main__":
    if subprocess.run([PYTHON, "-c", NEEDED], capture_output=True, check=False).returncode != 0:
        print(f"skipped: {PYTHON} lacks one of wandb, mlflow, sqlalchemy and alembic; scripts/setup.sh --track installs them")
        sys.exit(77)
    unittest.main()
