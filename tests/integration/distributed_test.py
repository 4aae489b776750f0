"""Several processes do what one does: the same weights, pictures and files, and they end together."""

import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import unittest

import numpy

from latents_test import encoding
from support import (
    BIN,
    FOLDER,
    SECONDS,
    ExecutableTest,
    contents,
    environment,
    load_npz,
    load_tensors,
    must_run,
    run,
    student,
    teacher,
    training,
)

# RAdam's first five steps are linear in the gradient, so that a rounding error stays one.
SETTINGS = ("optimizer.rule=radam", "train.batch_size=8", "train.steps=3")

# Enough that a test can interrupt it, and too many to finish.
LONG = ("train.steps=100000", "train.checkpoint_every=2")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(ranks, name, *arguments):
    """The processes, as a launcher starts them."""
    port = str(free_port())
    place = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [str(BIN / name), *map(str, arguments)]
    return [
        subprocess.Popen(
            command, cwd=FOLDER, env=environment(RANK=str(rank), LOCAL_RANK=str(rank), **place),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(ranks)
    ]  # fmt: skip


def finish(processes):
    """[(exit code, stdout, stderr)] by rank."""
    try:
        said = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(processes, said)]


def succeed(processes):
    results = finish(processes)
    if any(code != 0 for code, _, _ in results):
        raise AssertionError(f"{processes[0].args}: {results}")
    return results


def run_ranks(ranks, name, *arguments):
    return succeed(start(ranks, name, *arguments))


def weights_of(run_folder):
    """Everything that a run has learned, by file and name."""
    return {
        f"{path.name}/{name}": tensor
        for path in sorted((run_folder / "checkpoints" / "latest").glob("*.safetensors"))
        for name, tensor in load_tensors(path).items()
    }


def metrics_of(run_folder):
    return [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]


def await_checkpoint(run_folder, processes):
    deadline = time.monotonic() + SECONDS
    while not (run_folder / "checkpoints" / "latest").exists():
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            raise AssertionError(f"no checkpoint came: {finish(processes)}")
        time.sleep(0.05)


def children_of(process):
    tasks = pathlib.Path(f"/proc/{process.pid}/task").iterdir()
    return sorted(int(child) for task in tasks for child in (task / "children").read_text().split())


class DistributedTest(ExecutableTest):
    def assert_same_run(self, actual, expected, steps):
        mine, theirs = weights_of(FOLDER / actual), weights_of(FOLDER / expected)
        self.assertEqual(set(mine), set(theirs))
        for name, tensor in theirs.items():
            # Within fp32's rounding of gradients that are summed in another order.
            largest = max(1.0, float(numpy.abs(tensor).max()))
            self.assertLess(float(numpy.abs(mine[name] - tensor).max()), 1e-6 * largest, name)
        lines = metrics_of(FOLDER / actual)
        self.assertEqual([line["step"] for line in lines], list(range(1, steps + 1)))
        for line, other in zip(lines, metrics_of(FOLDER / expected)):
            for key in ("loss", "gradient_norm"):
                self.assertAlmostEqual(line[key] / other[key], 1, delta=1e-5, msg=key)

    def compare(self, name, objective, *settings):
        """Trains alone and on two ranks."""
        settings = (*SETTINGS, *settings)
        both = [start(ranks, *training(objective, f"{name}-{ranks}", *settings)) for ranks in (1, 2)]
        for processes in both:
            succeed(processes)
        self.assert_same_run(f"{name}-2", f"{name}-1", 3)


@functools.cache
def alone():
    """One process's run, as if in a batch script of Slurm, which is none of the job's tasks."""
    job = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "gpu[1-4]"}
    must_run(*training("edm", "alone", *SETTINGS), **job)
    return "alone"


class EqualityTest(DistributedTest):
    def test_two_ranks_do_what_one_process_does(self):
        for objective in ("cd", "sct", "pd"):
            with self.subTest(objective):  # two micro-batches a rank, with dropout
                self.compare(f"equal-{objective}", objective)

    def test_whole_batches_and_sample_grids_too(self):
        settings = ("train.sample_every=3", "train.sample_count=11", "train.micro_batch_size=8", "model.dropout=0")
        self.compare("whole", "ct", *settings, "optimizer.clip_norm=0.1", "model.activation_checkpointing=true")
        self.assertTrue((FOLDER / "whole-2" / "samples" / "step-00000003.png").exists())

    def test_ranks_that_have_a_part_of_the_state_each_too(self):
        self.compare("cut", "cd", "train.shard=optimizer", "train.sample_every=3", "ema.power_stds=[0.05,0.1]")
        snapshots = [sorted(path.name for path in (FOLDER / f"cut-{ranks}" / "averages").iterdir()) for ranks in (1, 2)]
        self.assertEqual(snapshots[0], snapshots[1])

    def test_only_rank_0_speaks_and_writes(self):
        (_, first, _), (_, second, quiet) = run_ranks(2, *training("edm", "quiet", *SETTINGS))
        self.assertRegex(first, r"3 steps of 8 images, shared by 2 processes\n(.*\n)*finished 3 steps: quiet\n$")
        self.assertEqual((second, quiet), ("", ""))
        self.assertEqual(len(list((FOLDER / "quiet" / "tensorboard").iterdir())), 1)
        self.assert_same_run("quiet", alone(), 3)

    def test_the_weights_move_further_than_the_tolerance(self):
        must_run(*training("edm", "unmoved", *SETTINGS, "optimizer.lr=1e-12"))
        weights, first = weights_of(FOLDER / alone()), weights_of(FOLDER / "unmoved")
        moved = max(float(numpy.abs(weights[name] - first[name]).max()) for name in weights if name.startswith("model"))
        self.assertGreater(moved, 1e-3)

    def test_a_dry_run(self):
        (_, first, _), (_, second, _) = run_ranks(2, *training("edm", "dry", *SETTINGS, "--dry-run"))
        self.assertRegex(first, r"one step    loss \d")
        self.assertEqual(second, "")
        self.assertFalse((FOLDER / "dry").exists())


class ResumeTest(DistributedTest):
    def test_another_number_of_ranks_goes_on(self):
        whole, part = "train.steps=4", "train.steps=2"
        must_run(*training("cd", "unbroken", *SETTINGS, whole))
        for before, after, settings in ((2, 1, ()), (1, 2, ()), (2, 4, ("train.shard=gradients",))):
            with self.subTest(f"from {before} to {after}"):
                name = f"resumed-{before}-{after}"
                run_ranks(before, *training("cd", name, *SETTINGS, *settings, part))
                run_ranks(after, *training("cd", name, *SETTINGS, *settings, whole, "--resume"))
                self.assert_same_run(name, "unbroken", 4)


class EndTest(DistributedTest):
    LOST = r"^cm-train-edm: rank %d of 2 lost another rank, .*; the last good checkpoint is .*step-\d+ \(go on with --resume\)\n$"

    def lose(self, name, loser, sent, *settings):
        """Sends a signal to one of two ranks; the other's result and the seconds that it took to end."""
        processes = start(2, *training("edm", name, *SETTINGS, *LONG, *settings))
        await_checkpoint(FOLDER / name, processes)
        processes[loser].send_signal(sent)
        begin = time.monotonic()
        survivor = finish(processes[1 - loser : 2 - loser])[0]
        seconds = time.monotonic() - begin
        processes[loser].kill()
        processes[loser].communicate()
        return survivor, seconds

    def test_a_rank_that_dies_ends_the_other(self):
        for loser in (0, 1):
            with self.subTest(f"rank {loser}"):
                (code, _, err), seconds = self.lose(f"dies-{loser}", loser, signal.SIGKILL)
                self.assertEqual(code, 1)
                self.assertRegex(err, self.LOST % (1 - loser))
                self.assertLess(seconds, 20)
        goes_on = must_run(*training("edm", "dies-1", *SETTINGS, "train.steps=1000", "train.checkpoint_every=1000",
                                     "--resume", "--dry-run"))  # fmt: skip
        self.assertIn("one step", goes_on.out)

    def test_a_rank_that_hangs_ends_the_other_after_the_timeout(self):
        (code, _, err), seconds = self.lose("hangs", 1, signal.SIGSTOP, "train.distributed_timeout=4")
        self.assertEqual(code, 1)
        self.assertRegex(err, self.LOST % 0)
        self.assertIn("did not answer within 4 s", err)
        self.assertLess(seconds, 20)

    def test_a_signal_to_one_rank_stops_all_at_the_same_step(self):
        processes = start(2, *training("edm", "stopped", *SETTINGS, *LONG))
        await_checkpoint(FOLDER / "stopped", processes)
        processes[1].send_signal(signal.SIGTERM)
        (code, out, err), (other_code, _, _) = finish(processes)
        self.assertEqual((code, other_code), (0, 0), err)
        self.assertRegex(out, r"stopped after step (\d+) and saved; go on with: cm-train-edm --out stopped --resume")
        step = json.loads((FOLDER / "stopped" / "checkpoints" / "latest" / "state.json").read_text())["step"]
        self.assertIn(f"after step {step} and", out)
        again = run_ranks(2, *training("edm", "stopped", *SETTINGS, f"train.steps={step + 1}", "--resume"))
        self.assertIn(f"finished {step + 1} steps", again[0][1])


class MistakeTest(DistributedTest):
    def test_what_is_wrong_on_all_ranks_is_said_once(self):
        for mistake, pattern in (
            (["train.batch_size=9", "train.micro_batch_size=3"],
             "train.batch_size is 9, which 2 processes can't share; use a multiple of 2"),
            (["train.batch_size=10"], r"micro_batch_size must divide what each of 2 processes has of the batch \(5\), got 2"),
            (["trian.steps=2"], "did you mean train.steps"),
        ):  # fmt: skip
            with self.subTest(mistake):
                results = finish(start(2, *training("edm", "mistaken", *SETTINGS, *mistake)))
                self.assertEqual([code for code, _, _ in results], [2, 2])
                said = "".join(err for _, _, err in results)
                self.assertRegex(said, rf"^cm-train-edm: .*{pattern}.*\n$")
        self.assertFalse((FOLDER / "mistaken").exists())

    def test_half_an_environment(self):
        for variables, pattern in (
            ({"RANK": "0"}, "RANK is set and WORLD_SIZE is not"),
            ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK is 'x', a whole number"),
            ({"RANK": "2", "WORLD_SIZE": "2"}, "ranks count from 0 to 1"),
            ({"RANK": "1", "WORLD_SIZE": "2"}, "set MASTER_ADDR"),
            ({"CM_MEETING_SECONDS": "soon"}, "CM_MEETING_SECONDS is 'soon', a whole number of seconds is needed"),
        ):
            with self.subTest(variables):
                self.assert_refused(run(*training("edm", "half"), **variables), pattern)


class SampleTest(DistributedTest):
    def test_any_number_of_ranks_makes_the_same_images(self):
        arguments = ("--checkpoint", student(), "--num", "10", "--batch", "3", "--class", "all", "--steps", "2", "--float")
        must_run("cm-sample", *arguments, "--out", "sampled-1")
        results = run_ranks(2, "cm-sample", *arguments, "--out", "sampled-2")
        self.assertEqual(results[1][1:], ("", ""))
        one, two = load_npz(FOLDER / "sampled-1" / "samples.npz"), load_npz(FOLDER / "sampled-2" / "samples.npz")
        self.assertEqual(set(one), set(two))
        for name, array in one.items():
            self.assertTrue(numpy.array_equal(array, two[name]), name)
        files = [contents(FOLDER / name) for name in ("sampled-1", "sampled-2")]
        for name in ("grid.png", "samples.safetensors"):
            self.assertEqual(files[0][name], files[1][name], name)


    def test_any_number_of_ranks_makes_the_same_pairs(self):
        walk = ("--sampler", "euler", "--steps", "1", "--num", "2060", "--batch", "500")
        arguments = ("--pairs", "--checkpoint", teacher(), *walk)
        must_run("cm-sample", *arguments, "--out", "pairs-1")
        (_, said, _), (_, *silence) = run_ranks(2, "cm-sample", *arguments, "--out", "pairs-2")
        self.assertEqual(silence, ["", ""])
        self.assertIn("2060 pairs of ", said)
        self.assertEqual(contents(FOLDER / "pairs-2"), contents(FOLDER / "pairs-1"))

    def test_any_number_of_ranks_encodes_the_same_archive(self):
        told = must_run(*encoding("encoded-1.zip")).out
        for ranks in (2, 3):
            (_, said, _), *others = run_ranks(ranks, *encoding(f"encoded-{ranks}.zip"))
            self.assertEqual([(out, err) for _, out, err in others], [("", "")] * (ranks - 1))
            self.assertEqual(said, told.replace("encoded-1", f"encoded-{ranks}"))
            self.assertEqual((FOLDER / f"encoded-{ranks}.zip").read_bytes(), (FOLDER / "encoded-1.zip").read_bytes())
            self.assertFalse((FOLDER / f"encoded-{ranks}.zip.unfinished").exists())


class TorchrunTest(DistributedTest):
    def test_any_number_of_ranks_measures_the_same(self):
        numpy.savez(FOLDER / "real.npz", arr_0=numpy.random.default_rng(0).integers(0, 255, (60, 8, 8, 1), numpy.uint8))
        asked = ("--checkpoint", student(), "--num", 50, "--batch", 8, "--reference", "real.npz")
        asked = ("cm-evaluate", *asked, "--metrics", "frechet,precision", "--json")
        expected = json.loads(must_run(*asked).out)
        for ranks in (2, 3):
            (_, said, _), *others = run_ranks(ranks, *asked)
            self.assertEqual(json.loads(said), expected)
            self.assertEqual([out for _, out, _ in others], [""] * (ranks - 1))

    def test_torchrun_starts_it_again(self):
        torchrun = pathlib.Path(sys.executable).parent / "torchrun"
        if not torchrun.exists():
            self.skipTest("no torchrun beside this Python")
        name, *arguments = training("edm", "torchrun", *SETTINGS, "--resume", "auto", "train.steps=400")
        launcher = (torchrun, "--nproc-per-node=2", "--max-restarts=1", f"--master-port={free_port()}", "--no-python")
        process = subprocess.Popen(
            [*map(str, launcher), str(BIN / name), *map(str, arguments)],
            cwd=FOLDER, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        await_checkpoint(FOLDER / "torchrun", [process])
        os.kill(children_of(process)[1], signal.SIGKILL)
        (code, out, err), = finish([process])
        self.assertEqual(code, 0, err)
        self.assertRegex(err, r"resuming from torchrun/checkpoints/step-\d+")
        self.assertIn("finished 400 steps", out)
        lines = metrics_of(FOLDER / "torchrun")
        self.assertEqual([line["step"] for line in lines], list(range(1, 401)))
        for line, other in zip(lines, metrics_of(FOLDER / alone())):
            self.assertAlmostEqual(line["loss"] / other["loss"], 1, delta=1e-5)


if __name__ == "__main__":
    teacher()
    unittest.main()
