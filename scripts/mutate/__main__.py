"""Changes one operator, constant or condition at a time and tells which changes no unit test notices (see scripts/mutate.sh).

A changed file is compiled beside the others, into libraries and tests of their own: neither the sources nor the build folder's
own products are touched.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

from mutants import in_order, mutants_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build-mutants"
MUTANT = BUILD / "mutant"  # what is made of a changed file
RESULTS = BUILD / "results.jsonl"
SHARDS = os.cpu_count() or 1

MODULES = ("diffusion", "training", "metrics")
SURVIVED, DOES_NOT_COMPILE = "survived", "does not compile"


def modules():
    """Lowest first."""
    return re.findall(r"^cm_module\((\w+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)


def run(command, **settings):
    return subprocess.run(command, cwd=BUILD, capture_output=True, text=True, check=False, **settings)


def build(changed):
    """Everything as it is, the files of the `changed` modules each compiled alone; the tests that use these, lowest first."""
    configure = ["cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCM_BUILD_BENCH=OFF"]
    configure += [f"-DCM_COMPILED_SINGLY={';'.join(sorted(changed.union(MODULES)))}", "-DCM_BUILD_TESTS=ON"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    targets = subprocess.run(["ninja", "-t", "targets", "all"], cwd=BUILD, capture_output=True, text=True, check=True).stdout
    above = modules()[min(map(modules().index, changed)) :]
    tests = [f"{module}_test" for module in above if f"\n{module}_test: phony" in targets]
    tests = [test for test in tests if any(f"libcm_{module}.a" in link_command(test) for module in changed)]
    subprocess.run(["cmake", "--build", BUILD, "--target", *tests], check=True)
    return tests


def link_command(test):
    return run(["ninja", "-t", "commands", "-s", f"bin/{test}"]).stdout.strip()


class Tests:
    """A test executable, run in as many parts as there are cores."""

    def __init__(self, name):
        self.name = name
        self.link = link_command(name)
        self.allowed = {}  # seconds, by suites

    def uses(self, module):
        return f"libcm_{module}.a" in self.link

    def notices(self, suites=()):
        """Whether a test of the suites, or any, fails with the change or takes far longer than without."""
        if suites not in self.allowed:
            begin = time.monotonic()
            if not self.passes(BUILD / "bin" / self.name, suites, limit=None):
                sys.exit(f"mutate.sh: {self.name} fails without any change; mend that first")
            self.allowed[suites] = 3 * (time.monotonic() - begin) + 10
        return not self.passes(MUTANT / self.name, suites, self.allowed[suites])

    def passes(self, executable, suites, limit):
        choice = [f"--gtest_filter={':'.join(f'{suite}.*:*/{suite}.*' for suite in suites)}"] if suites else []
        settings = {"OMP_NUM_THREADS": "1", "GTEST_FAIL_FAST": "1", "GTEST_TOTAL_SHARDS": str(SHARDS)}
        parts = [
            subprocess.Popen(
                [executable, "--gtest_brief=1", *choice], cwd=BUILD, env=os.environ | settings | {"GTEST_SHARD_INDEX": str(i)},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for i in range(SHARDS)
        ]  # fmt: skip
        begin = time.monotonic()
        try:
            while any(part.poll() is None for part in parts):
                failed = any(part.poll() not in (None, 0) for part in parts)
                if failed or (limit and time.monotonic() - begin > limit):
                    return False
                time.sleep(0.05)
            return all(part.returncode == 0 for part in parts)
        finally:
            for part in parts:
                part.kill()
                part.wait()


def suites_of(source):
    """Those of the test file that mirrors a source file."""
    mirror = ROOT / "tests" / source.parent.name / f"{source.stem}_test.cpp"
    text = mirror.read_text() if mirror.exists() else ""
    return tuple(sorted(set(re.findall(r"^TEST(?:_F|_P)?\((\w+),", text, re.MULTILINE))))


class Compilations:
    def __init__(self):
        entries = json.loads((BUILD / "compile_commands.json").read_text())
        self.commands = {pathlib.Path(entry["file"]): entry["command"] for entry in entries}

    def compile(self, mutant):
        """Whether it compiles, and into the archive of its module that the tests are to be linked with."""
        source = ROOT / mutant.path
        changed = MUTANT / source.name
        changed.write_text(mutant.source())
        words = iter(shlex.split(self.commands[source]))
        command = []
        for word in words:
            if word in ("-MT", "-MF", "-o", "-c"):
                next(words)
            elif word != "-MD":
                command.append(word)
        command += ["-w", "-iquote", str(source.parent), "-c", str(changed), "-o", str(MUTANT / f"{source.name}.o")]
        if run(command, env=os.environ | {"CCACHE_DISABLE": "1"}).returncode != 0:
            return False
        library = f"libcm_{source.parent.name}.a"
        shutil.copy(BUILD / library, MUTANT / library)
        subprocess.run(["ar", "r", library, f"{source.name}.o"], cwd=MUTANT, check=True, capture_output=True)
        return True


def fate_of(mutant, compilations, tests):
    """What became of it: a test that noticed, or SURVIVED or DOES_NOT_COMPILE."""
    shutil.rmtree(MUTANT, ignore_errors=True)
    MUTANT.mkdir()
    if not compilations.compile(mutant):
        return DOES_NOT_COMPILE
    module = mutant.path.parent.name
    suites = suites_of(mutant.path)
    for test in tests:
        if not test.uses(module):
            continue
        link = re.sub(rf"(?<=\s)libcm_{module}\.a", f"mutant/libcm_{module}.a", test.link)
        subprocess.run(link.replace(f"-o bin/{test.name}", f"-o mutant/{test.name}"), cwd=BUILD, shell=True, check=True)
        if test.name == f"{module}_test" and suites and test.notices(suites):
            return f"{test.name} {' '.join(suites)}"
        if test.notices():
            return test.name
    return SURVIVED


def known_fates():
    """{key: fate}, and the keys of what survived tests that have changed since."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    found = {line["key"]: line for line in map(json.loads, lines)}
    newest = max(file.stat().st_mtime for file in (ROOT / "tests").rglob("*.*"))
    again = {key for key, line in found.items() if line["fate"] == SURVIVED and line["time"] < newest}
    return {key: line["fate"] for key, line in found.items()}, again


def chosen_mutants(paths):
    files = sorted({file for path in paths for file in ([path] if path.is_file() else path.rglob("*.cpp"))})
    return [mutant for file in files for mutant in mutants_of(file.relative_to(ROOT), file.read_text())]


def work(mutants, fates, again, minutes):
    """Adds to `fates` until the time is over; tries `again` what is there."""
    tests = [Tests(name) for name in build({mutant.path.parent.name for mutant in mutants})]
    compilations = Compilations()
    end = time.monotonic() + 60 * minutes
    for mutant in mutants:
        if time.monotonic() > end:
            break
        if mutant.key in fates and mutant.key not in again:
            continue
        begin = time.monotonic()
        fates[mutant.key] = fate_of(mutant, compilations, tests)
        line = {"key": mutant.key, "mutant": str(mutant), "fate": fates[mutant.key], "time": time.time()}
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{mutant}: {fates[mutant.key]} ({time.monotonic() - begin:.0f} s)", flush=True)


def report(mutants, fates):
    tried = [mutant for mutant in mutants if mutant.key in fates]
    survivors = [mutant for mutant in tried if fates[mutant.key] == SURVIVED]
    broken = sum(fates[mutant.key] == DOES_NOT_COMPILE for mutant in tried)
    noticed = len(tried) - broken - len(survivors)
    print(f"\n{len(tried)} of {len(mutants)} changes tried: {noticed} noticed, {len(survivors)} not, {broken} do not compile")
    for mutant in sorted(survivors, key=lambda survivor: (survivor.path, survivor.offset)):
        print(f"{mutant}\n    {mutant.text.splitlines()[mutant.line - 1].strip()}")


def main():
    parser = argparse.ArgumentParser(prog="mutate.sh")
    parser.add_argument("--minutes", type=float, default=15, help="how long to try changes (0: report what was found)")
    parser.add_argument("--seed", type=int, default=0, help="of the lot that orders the changes")
    parser.add_argument("paths", nargs="*", type=pathlib.Path, help="files and folders in src; the three modules by default")
    arguments = parser.parse_args()
    paths = arguments.paths or [ROOT / "src" / module for module in MODULES]
    mutants = in_order(chosen_mutants([path.resolve() for path in paths]), arguments.seed)
    fates, again = known_fates()
    try:
        if arguments.minutes > 0:
            work(mutants, fates, again, arguments.minutes)
    except KeyboardInterrupt:
        pass
    report(mutants, fates)


if __name__ == "__main__":
    main()
