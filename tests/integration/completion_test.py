"""--completion: the shells themselves complete command lines by the scripts that the executables print."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

from support import FOLDER, SECONDS, ExecutableTest, environment, must_run, run

PROGRAMS = ["cm-sample", "cm-edit", "cm-evaluate", "cm-search", "cm-data", "cm-average", "cm-info", "cm-bench", "cm-train-cd"]

# What bash does on TAB: the words are broken at = and : too.
TYPED = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
read -ra COMP_WORDS <<<"$2"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[[ -z $3 ]] || COMP_WORDBREAKS=$3
function=$(complete -p "${COMP_WORDS[0]}" | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
"$function"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(program, shell):
    path = FOLDER / f"{program}.{shell}"
    if not path.exists():
        path.write_text(must_run(program, "--completion", shell).out)
    return path


class CompletionTest(ExecutableTest):
    def setUp(self):
        folder = FOLDER / "files"
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        (folder / "run.yaml").touch()
        self.folder = folder

    def completed(self, line, breaks=""):
        """The candidates for the last word of `line`."""
        command = ["bash", "--norc", "-c", TYPED, "bash", script(line.split()[0], "bash"), line, breaks]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=SECONDS, check=False)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_every_option_of_the_help(self):
        for program in PROGRAMS:
            with self.subTest(program):
                listed = re.findall(r"(?m)^  (?:-\w,)?(--[\w-]+)", must_run(program, "--help").out)
                self.assertEqual(self.completed(f"{program} --"), listed)

    def test_options_and_their_values(self):
        self.assertEqual(self.completed("cm-sample --qu"), ["--quantize"])
        self.assertEqual(self.completed("cm-sample --quantize "), ["nearest", "truncate"])
        self.assertEqual(self.completed("cm-sample --steps 2 --quantize tr"), ["truncate"])
        self.assertEqual(self.completed("cm-sample --quantize=n"), ["nearest"])
        self.assertEqual(self.completed("cm-sample --quantize=n", " \t\n"), ["--quantize=nearest"])
        self.assertEqual(self.completed("cm-sample --dtype fp"), ["fp32", "fp16"])
        self.assertEqual(self.completed("cm-sample --num "), [])
        self.assertEqual(self.completed("cm-edit super"), ["superres"])
        self.assertEqual(self.completed("cm-evaluate --resize c"), ["clean"])

    def test_files_and_folders(self):
        self.assertEqual(sorted(self.completed("cm-sample --checkpoint ru")), ["run.yaml", "runs"])
        self.assertEqual(self.completed("cm-sample --out ru"), ["runs"])
        self.assertEqual(sorted(self.completed("cm-info r")), ["run.yaml", "runs"])
        self.assertEqual(sorted(self.completed("cm-evaluate --checkpoint a b ru")), ["run.yaml", "runs"])
        self.assertEqual(self.completed("cm-sample --checkpoint a ru"), [])

    def test_settings_of_a_run(self):
        self.assertEqual(self.completed("cm-train-cd --config c.yaml train.dt"), ["train.dtype="])
        self.assertEqual(self.completed("cm-train-cd --config c.yaml train.dtype=f"), ["fp32", "fp16"])
        self.assertEqual(self.completed("cm-train-cd --config c.yaml train.dtype=f", " "), ["train.dtype=fp32", "train.dtype=fp16"])
        self.assertEqual(self.completed("cm-train-cd cd.solver=dpm_"), ["dpm_solver_2"])
        self.assertEqual(self.completed("cm-train-cd train.deterministic="), ["true", "false"])
        self.assertEqual(sorted(self.completed("cm-train-cd teacher.checkpoint=ru")), ["run.yaml", "runs"])
        self.assertEqual(self.completed("cm-train-cd train.steps="), [])
        self.assertEqual(self.completed("cm-data --num 4 data.ki"), ["data.kind="])
        keys = [line.split(":")[0] for line in must_run("cm-train-cd", "--help-config").out.splitlines() if line[:1].strip()
                and ": a section" not in line]  # fmt: skip
        self.assertEqual(self.completed("cm-train-cd "), [f"{key}=" for key in keys])

    def test_a_shell_that_is_not_known(self):
        self.assert_refused(run("cm-sample", "--completion", "fish"), r"--completion must be one of \{bash, zsh\}, got 'fish'")


@unittest.skipUnless(shutil.which("zsh"), "zsh is not installed; scripts/setup.sh --dev installs it")
class ZshTest(ExecutableTest):
    def test_the_syntax(self):
        for program in PROGRAMS:
            with self.subTest(program):
                done = subprocess.run(["zsh", "-n", script(program, "zsh")], capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def completed(self, line):
        """What stands on the line of an interactive zsh after `line` and TAB."""
        child, screen = pty.fork()
        if child == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], environment(TERM="dumb", PS1="> ", HOME=str(FOLDER)))
        self.addCleanup(os.close, screen)
        program = line.split()[0]
        os.write(screen, f"autoload -Uz compinit && compinit -D -u && source {script(program, 'zsh')} && echo rea''dy\n".encode())
        self.read_until(screen, b"ready\r")
        os.write(screen, f"{line}\t".encode())
        shown = self.read_until(screen, None)
        os.kill(child, 9)
        os.waitpid(child, 0)
        return re.sub(r"\x1b\[[?\d]*[a-zA-Z]|\a", "", shown.decode()).split("> ")[-1].strip()

    @staticmethod
    def read_until(screen, words):
        """Until `words`, or half a second of silence."""
        shown = b""
        end = time.time() + SECONDS
        while time.time() < end and (words is None or words not in shown):
            if not select.select([screen], [], [], 0.5)[0]:
                if words is None:
                    break
                continue
            shown += os.read(screen, 1 << 16)
        return shown

    def test_completion(self):
        cases = {
            "cm-sample --quantize tr": "cm-sample --quantize truncate",
            "cm-sample --chec": "cm-sample --checkpoint",
            "cm-edit superr": "cm-edit superres",
            "cm-train-cd train.dty": "cm-train-cd train.dtype=",
            "cm-train-cd cd.solver=dpm_": "cm-train-cd cd.solver=dpm_solver_2",
        }
        for line, expected in cases.items():
            with self.subTest(line):
                self.assertEqual(self.completed(line), expected)


if __name__ == "__main__":
    unittest.main()
