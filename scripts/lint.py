#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy) over the sources of build/compile_commands.json; prints the findings, fails on any.

    scripts/lint.py [folder or file ...]        all of src, apps, bench and tests by default

Most of the cost of a file is LibTorch's headers, so the files of a folder are checked together as one translation unit
(those whose private names collide go into a second one), and what was found clean is remembered in .cache/tidy until a
source, a header or a rule changes. clang-tidy is that of requirements-dev.txt: since 22 it no longer searches the
headers of others, which took older versions most of their time.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "tidy"
FOLDERS = ["src", "apps", "bench", "tests"]
DOES_NOT_COMPILE = re.compile(r"^([^\s:]+):\d+:\d+: (?:fatal )?error: .*\[clang-diagnostic-error\]$", re.MULTILINE)


def clang_tidy():
    installed = sorted(ROOT.glob(".venv/lib/python*/site-packages/clang_tidy/data/bin/clang-tidy"))
    found = [str(path) for path in installed] + [shutil.which("clang-tidy")]
    return found[0] or sys.exit("lint: clang-tidy is missing; run scripts/setup.sh --dev")


def kept_flags(command):
    """The include folders, definitions and standard of a compilation."""
    words = iter(shlex.split(command))
    flags = []
    for word in words:
        if word in ("-isystem", "-I", "-D"):
            flags += [word, next(words)]
        elif word.startswith(("-I", "-D", "-std=")):
            flags.append(word)
    return tuple(flags)


def sources_of(entry):
    """The files behind a compilation; CMake's unity builds compile a file that includes several."""
    file = pathlib.Path(entry["file"])
    if file.parent.name != "Unity":
        return [file]
    return [pathlib.Path(name) for name in re.findall(r'^#include "(.*)"$', file.read_text(), re.MULTILINE)]


def groups(compilations, paths):
    """[(flags, files)]: what can be checked together."""
    found = {}
    for entry in compilations:
        for file in sources_of(entry):
            if file.suffix == ".cpp" and any(file.is_relative_to(path) for path in paths):
                found.setdefault((file.parent, kept_flags(entry["command"])), set()).add(file)
    work = [(flags, sorted(files)) for (_, flags), files in found.items()]
    return sorted(work, key=lambda group: -len(group[1]))  # the longest first, so that none is waited for at the end


def digest(flags, files):
    """Changes with anything that the findings of `files` depend on, LibTorch itself aside."""
    headers = [h for folder in ["include", *FOLDERS] for h in sorted((ROOT / folder).rglob("*.[hc]*"))
               if h.suffix in {".h", ".cuh"}]
    state = hashlib.sha256(shlex.join([clang_tidy(), *flags]).encode())
    for file in [ROOT / ".clang-tidy", ROOT / "scripts" / "requirements-dev.txt", *headers, *files]:
        state.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
    return state.hexdigest()


def unit_of(files):
    """Writes a translation unit of all `files`; each may have its own main."""
    unit = CACHE / f"unit-{hashlib.sha256(str(files).encode()).hexdigest()[:16]}.cpp"
    unit.write_text("".join(f'#define main main_{i}\n#include "{f}"\n#undef main\n' for i, f in enumerate(files)))
    return unit


def tidy(flags, files):
    """The findings in `files`, as text."""
    filters = f"--header-filter=^{re.escape(str(ROOT))}/(include|{'|'.join(FOLDERS)})/"
    options = ["--quiet", f"--config-file={ROOT}/.clang-tidy", filters]
    command = [clang_tidy(), *options, str(unit_of(files)), "--", *flags]
    result = subprocess.run(command, capture_output=True, text=True)
    findings = result.stdout or (result.stderr if result.returncode else "")
    # Names of anonymous namespaces meet: what does not compile behind the others is checked apart.
    colliding = set(DOES_NOT_COMPILE.findall(findings)) & {str(file) for file in files[1:]}
    if not colliding:
        return findings
    kept = [file for file in files if str(file) not in colliding]
    return tidy(flags, kept) + tidy(flags, [file for file in files if file not in kept])


def lint(group):
    """The findings in a group of files, "" when there are none."""
    flags, files = group
    clean = CACHE / f"clean-{digest(flags, files)}"
    if clean.exists():
        return ""
    findings = tidy(flags, files)
    if not findings:
        clean.touch()
    return findings


def main(arguments):
    CACHE.mkdir(parents=True, exist_ok=True)
    paths = [pathlib.Path(argument).resolve() for argument in arguments] or [ROOT / folder for folder in FOLDERS]
    compilations = json.loads((ROOT / "build" / "compile_commands.json").read_text())
    work = groups(compilations, paths)
    clean = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for findings in pool.map(lint, work):
            clean = clean and not findings
            print(findings, end="", flush=True)
    print(f"lint: {'ok' if clean else 'see above'}, {sum(len(files) for _, files in work)} files")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
