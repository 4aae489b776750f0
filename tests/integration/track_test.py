"""scripts/track.py: what is sent, once and in order, whatever happens to the run meanwhile. The tracker is one that remembers."""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

try:
    import yaml  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh --dev installs it")
    sys.exit(77)

import track  # noqa: E402

CONFIG = "train:\n  steps: 6\noptimizer:\n  lr: 0.5\n"


class Remembering:
    """A tracker with a store of its own, which outlives the process that sends to it."""

    def __init__(self):
        self.sent = {}  # of each run, in the order in which it came
        self.configs = []
        self.closed = []
        self.dies_at = None

    def __call__(self, run_id, config, folder):
        store = self
        if run_id is None:
            run_id = f"run-{len(store.sent)}"
            store.sent[run_id] = []
        store.configs.append(config)

        class Tracker:
            def __init__(self):
                self.run_id, self.sent = run_id, 0

            def lines(self, lines):
                for line in lines:
                    if line[0] == store.dies_at:
                        raise ConnectionError("no\nnetwork")
                store.sent[run_id].extend(lines)

            def picture(self, step, path):
                store.sent[run_id].append((step, path.name))

            def config(self, config):
                store.configs.append(config)

            def close(self, finished):
                store.closed.append(finished)

        return Tracker()


class TrackTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cm-track-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.metrics = self.folder / "metrics.jsonl"
        self.store = Remembering()
        self.begin()

    def configure(self, steps):
        (self.folder / "beside").write_text(CONFIG.replace("6", str(steps)))
        (self.folder / "beside").replace(self.folder / "config.yaml")

    def begin(self):
        self.configure(6)
        (self.folder / "samples").mkdir(exist_ok=True)

    def say(self, *steps, loss=None):
        with self.metrics.open("a") as file:
            for step in steps:
                file.write(json.dumps({"step": step, "loss": loss or 1 / step, "gradient_norm": None}) + "\n")

    def draw(self, *steps):
        for step in steps:
            (self.folder / "samples" / f"step-{step:08}.png").write_text("")

    def cut_back_to(self, step):
        """As RunLog does when a run is resumed."""
        lines = self.metrics.read_text().splitlines(keepends=True)
        beside = self.folder / "beside"
        beside.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))
        beside.replace(self.metrics)

    def finish(self, step=6):
        checkpoints = self.folder / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        (checkpoints / "latest").symlink_to(f"step-{step:08}")

    def send(self, follow=False):
        return track.track(self.folder, "memory", self.store, follow, seconds=0.01)

    def sent(self, run="run-0"):
        return [step if isinstance(what, dict) else what for step, what in self.store.sent[run]]

    def following(self):
        """Sends in another thread; with its result when it has ended."""
        result = []
        thread = threading.Thread(target=lambda: result.append(self.send(follow=True)), daemon=True)
        thread.start()

        def join():
            thread.join(30)
            self.assertFalse(thread.is_alive(), "it goes on")
            return result[0]

        return join

    def wait_for(self, last, run="run-0"):
        for _ in range(3000):
            if run in self.store.sent and self.sent(run)[-1:] == [last]:
                return
            threading.Event().wait(0.01)
        self.fail(f"{last} was not sent, but {self.store.sent}")

    def test_lines_and_pictures_in_the_order_of_their_steps(self):
        self.say(1, 2, 3)
        self.draw(2, 3)
        self.assertFalse(self.send())
        self.assertEqual(self.store.sent["run-0"][:2], [(1, {"loss": 1}), (2, {"loss": 0.5})])
        self.assertEqual(self.sent(), [1, 2, "step-00000002.png", 3, "step-00000003.png"])
        self.assertEqual(self.store.configs, [{"train": {"steps": 6}, "optimizer": {"lr": 0.5}}])

    def test_it_goes_on_where_it_stopped(self):
        self.say(1, 2)
        self.draw(2)
        self.send()
        self.say(3)
        self.draw(3)
        self.send()
        self.send()
        self.assertEqual(self.sent(), [1, 2, "step-00000002.png", 3, "step-00000003.png"])

    def test_many_lines_at_once(self):
        self.say(*range(1, 500))
        self.send()
        self.assertEqual(self.sent(), list(range(1, 500)))

    def test_what_was_sent_before_it_failed_is_not_sent_again(self):
        self.say(*range(1, 200))
        self.store.dies_at = 120
        with self.assertRaises(ConnectionError):
            self.send()
        self.assertLess(len(self.sent()), 120)
        self.assertEqual(self.store.closed, [False])
        self.store.dies_at = None
        self.send()
        self.assertEqual(self.sent(), list(range(1, 200)))

    def test_a_line_that_is_not_whole_waits(self):
        self.say(1)
        with self.metrics.open("a") as file:
            file.write('{"step": 2, "lo')
        self.send()
        self.assertEqual(self.sent(), [1])

    def test_following_ends_with_the_checkpoint_of_the_last_step(self):
        join = self.following()
        self.say(1, 2)
        self.draw(2)
        self.wait_for("step-00000002.png")
        self.say(3, 4, 5, 6)
        self.draw(6)
        self.finish()
        self.assertTrue(join())
        self.assertEqual(self.sent(), [1, 2, "step-00000002.png", 3, 4, 5, 6, "step-00000006.png"])
        self.assertEqual(self.store.closed, [True])

    def test_a_run_that_goes_back_to_its_checkpoint_leaves_no_point_twice(self):
        join = self.following()
        self.say(1, 2, 3, 4)
        self.wait_for(4)
        self.cut_back_to(2)
        self.say(3, 4, 5)  # longer than what was read
        self.wait_for(5)
        self.cut_back_to(2)
        self.say(3)
        self.say(4, 5, 6)
        self.finish()
        self.assertTrue(join())
        self.assertEqual(self.sent(), [1, 2, 3, 4, 5, 6])

    def test_a_run_that_is_resumed_for_more_steps(self):
        self.say(*range(1, 7))
        self.finish()
        self.assertTrue(self.send())
        self.configure(8)
        self.say(7)
        self.assertFalse(self.send())
        join = self.following()
        self.configure(9)
        self.say(8, 9)
        (self.folder / "checkpoints" / "latest").unlink()
        self.finish(9)
        self.assertTrue(join())
        self.assertEqual(self.sent(), [*range(1, 10)])
        self.assertEqual(self.store.configs[-1]["train"]["steps"], 9)

    def sending(self):
        return track.Sending(self.folder, track.Note(self.folder / "tracking", "memory"), self.store)

    def test_between_two_looks_a_run_can_go_back_and_then_further(self):
        self.say(1, 2, 3, 4)
        sending = self.sending()
        sending.send_news()
        self.cut_back_to(2)
        self.say(3, loss=0.123456789)  # the lines are others, and more of them
        self.say(*range(4, 12))
        sending.send_news()
        self.assertEqual(self.sent(), list(range(1, 12)))

    def test_between_two_looks_a_finished_run_can_get_more_steps_to_do(self):
        self.say(*range(1, 7))
        sending = self.sending()
        self.finish()
        self.configure(9)
        self.assertFalse(sending.send_news())
        self.assertFalse(sending.send_news())

    def test_a_run_that_is_started_over_is_another(self):
        join = self.following()
        self.say(1, 2)
        self.wait_for(2)
        self.metrics.unlink()  # as --force does, in its order
        for name in ("samples", "tracking"):
            gone = (self.folder / name).rename(self.folder / f".{name}-gone")
            shutil.rmtree(gone)
        self.begin()
        self.say(1, loss=9)
        self.wait_for(1, "run-1")
        self.say(*range(2, 7), loss=9)
        self.finish()
        self.assertTrue(join())
        self.assertEqual(self.sent(), [1, 2])
        self.assertEqual(self.store.sent["run-1"], [(step, {"loss": 9}) for step in range(1, 7)])

    def test_the_note_survives_a_crash_while_it_is_written(self):
        self.say(1)
        self.send()
        (self.folder / "tracking" / "memory.tmp").write_text("{")
        self.send()
        self.assertEqual(self.sent(), [1])
        self.assertEqual(os.listdir(self.folder / "tracking").count("memory.json"), 1)


if __name__ == "__main__":
    unittest.main()
