"""scripts/reproduce/tasks.py: what runs, in which order, once; what runs again; what happens when something fails."""

import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "reproduce"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SCRIPTS))

from tasks import Runner, Task, TaskFailed  # noqa: E402


class TasksTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.ran = self.folder / "ran"

    def task(self, name, needs=(), command="true", **more):
        script = f"{command} && echo {name} >> {self.ran}"
        return Task(name, lambda resuming: [["sh", "-c", script, "resumed" if resuming else "begun"]], 1.0, needs, **more)

    def run_tasks(self, *tasks, jobs=2):
        runner = Runner(list(tasks), self.folder, jobs, {})
        before = self.ran.read_text().split() if self.ran.exists() else []
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                runner.run()
            finally:
                after = self.ran.read_text().split() if self.ran.exists() else []
                self.last = after[len(before) :]
        return runner

    def test_what_is_needed_runs_first_and_each_once(self):
        tasks = [self.task("c", needs=("b",)), self.task("b", needs=("a",)), self.task("a")]
        runner = self.run_tasks(*tasks)
        self.assertEqual(self.last, ["a", "b", "c"])
        self.assertGreaterEqual(runner.seconds("a"), 0)
        self.run_tasks(*tasks)
        self.assertEqual(self.last, [])

    def test_a_changed_command_or_file_runs_again_with_all_that_needs_it(self):
        config = self.folder / "config"
        config.write_text("1")
        tasks = [self.task("a", reads=(config,)), self.task("b", needs=("a",)), self.task("other")]
        self.run_tasks(*tasks, jobs=1)
        config.write_text("2")
        self.run_tasks(*tasks, jobs=1)
        self.assertEqual(self.last, ["a", "b"])
        self.run_tasks(tasks[0], self.task("b", needs=("a",), command="true; true"), tasks[2])
        self.assertEqual(self.last, ["b"])

    def test_a_failure_is_named_with_its_log_and_what_is_done_stays_done(self):
        tasks = [self.task("a"), self.task("b", needs=("a",), command="echo no more disk >&2; false")]
        with self.assertRaisesRegex(TaskFailed, r"(?s)b failed \(exit code 1\).*no more disk"):
            self.run_tasks(*tasks)
        self.run_tasks(tasks[0], self.task("b", needs=("a",)))
        self.assertEqual(self.last, ["b"])

    def test_an_interrupted_task_is_told_that_it_resumes_and_its_time_adds_up(self):
        told = self.folder / "told"

        def commands(resuming):
            return [["sh", "-c", f'echo $0 >> {told}; [ "$(wc -l < {told})" = 2 ]', "resumed" if resuming else "begun"]]

        task = Task("a", commands, 1.0)
        with self.assertRaises(TaskFailed):
            self.run_tasks(task)
        self.assertTrue((self.folder / "tasks" / "a.started").exists())
        self.run_tasks(task)
        self.assertEqual(told.read_text().split(), ["begun", "resumed"])
        self.assertFalse((self.folder / "tasks" / "a.started").exists())

    def test_a_runner_that_is_killed_takes_what_it_runs_with_it(self):
        """Otherwise that goes on, and the next start runs the same in the same folder."""
        script = (
            f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); from pathlib import Path; from tasks import Runner, Task; "
            f"Runner([Task('a', lambda _: [['sh', '-c', 'echo $$; exec sleep 60']], 1.0)], Path({str(self.folder)!r}), 1, {{}}).run()"
        )
        runner = subprocess.Popen([sys.executable, "-B", "-c", script], stdout=subprocess.DEVNULL)
        log = self.folder / "tasks" / "a.log"
        self.wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
        child = pathlib.Path("/proc", log.read_text().split()[-1], "stat")
        self.assertTrue(child.exists())
        runner.kill()
        runner.wait()
        self.wait_until(lambda: not child.exists() or child.read_text().split()[2] == "Z")

    def wait_until(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_arguments_are_completed_just_before_the_command_runs(self):
        found = self.folder / "found"
        first = self.task("first", command=f"echo 3 > {found}")
        printed = self.folder / "printed"
        second = Task(
            "second",
            lambda _: [["echo", "placeholder"]],
            1.0,
            needs=("first",),
            stdout=printed,
            resolve=lambda argument: found.read_text().strip() if argument == "placeholder" else argument,
        )
        self.run_tasks(first, second)
        self.assertEqual(printed.read_text(), "3\n")

    def interrupted(self, command, **more):
        runner = Runner([self.task("long", command=command, **more)], self.folder, 1, {})
        timer = threading.Timer(0.5, runner.stop)
        timer.start()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            with self.assertRaises(TaskFailed):
                runner.run()
        return runner

    def test_an_interrupt_ends_what_runs(self):
        self.assertFalse(self.interrupted("sleep 60").is_done("long"))

    def test_what_saves_its_state_and_ends_well_is_not_done(self):
        """As the trainings end when they are interrupted: with exit code 0."""
        runner = self.interrupted("trap 'exit 0' TERM; sleep 60 & wait", is_complete=self.ran.exists)
        self.assertFalse(runner.is_done("long"))
        self.assertTrue((self.folder / "tasks" / "long.started").exists())


if __name__ == "__main__":
    unittest.main()
