#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy) over the sources of build/compile_commands.json; prints the findings, fails on any.

    scripts/lint.py [folder or file ...]        all of src, apps, bench and tests by default

Most of the cost of a file is LibTorch's headers: clang-tidy parses and searches them anew for each. So the headers are
precompiled, the files of a folder are checked together as one translation unit (those whose private names collide go
into a second one), and what was found clean is remembered in .cache/tidy until a source, a header or a rule changes.
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
PRECOMPILED = CACHE / "precompiled.h"
FOLDERS = ["src", "apps", "bench", "tests"]
ERROR = re.compile(r"^([^\s:]+):\d+:\d+: (?:fatal )?error: ", re.MULTILINE)


def tool(name):
    """The version that Debian 12 has where several are installed: findings differ between versions."""
    found = shutil.which(f"{name}-14") or shutil.which(name)
    return found or sys.exit(f"lint: {name} is missing; run scripts/setup.sh --dev")


def kept_flags(command):
    """The include folders, definitions and standard of a compilation; GCC's precompiled header becomes our own."""
    words = iter(shlex.split(command))
    flags = []
    for word in words:
        if word in ("-isystem", "-I", "-D"):
            flags += [word, next(words)]
        elif word == "-include" and next(words).endswith("cmake_pch.hxx"):
            flags += ["-include", str(PRECOMPILED)]
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


def precompile(compilations):
    command = next(entry["command"] for entry in compilations if "/cm_pch.dir/cmake/pch.cpp.o" in entry["command"])
    flags = kept_flags(command)[:-2]  # without the header itself
    header = ROOT / "build" / "CMakeFiles" / "cm_pch.dir" / "cmake_pch.hxx"
    text = header.read_text().replace("#pragma GCC system_header\n", "")
    if not PRECOMPILED.exists() or PRECOMPILED.read_text() != text:
        PRECOMPILED.write_text(text)
    output = PRECOMPILED.with_suffix(".h.pch")
    stamp = PRECOMPILED.with_suffix(".stamp")
    command = [tool("clang++"), *flags, "-x", "c++-header", str(PRECOMPILED), "-o", str(output)]
    if not output.exists() or not stamp.exists() or stamp.read_text() != text + shlex.join(command):
        subprocess.run(command, check=True)
        stamp.write_text(text + shlex.join(command))


def digest(flags, files):
    """Changes with anything that the findings of `files` depend on, LibTorch itself aside."""
    headers = [h for folder in ["include", *FOLDERS] for h in sorted((ROOT / folder).rglob("*.[hc]*"))
               if h.suffix in {".h", ".cuh"}]
    state = hashlib.sha256(shlex.join([tool("clang-tidy"), *flags]).encode())
    for file in [ROOT / ".clang-tidy", *headers, *files]:
        state.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
    return state.hexdigest()


def unit_of(files):
    """Writes a translation unit of all `files`; each may have its own main."""
    unit = CACHE / f"unit-{hashlib.sha256(str(files).encode()).hexdigest()[:16]}.cpp"
    unit.write_text("".join(f'#define main main_{i}\n#include "{f}"\n#undef main\n' for i, f in enumerate(files)))
    return unit


def colliding(flags, files):
    """Those of `files` that do not compile behind the others, as names of anonymous namespaces meet."""
    if len(files) < 2:
        return set()
    command = [tool("clang++"), "-fsyntax-only", "-w", "-ferror-limit=0", *flags, str(unit_of(files))]
    errors = subprocess.run(command, capture_output=True, text=True).stderr
    return set(ERROR.findall(errors)) & {str(file) for file in files[1:]}


def compatible(flags, files):
    """Splits `files` into lists that compile as one translation unit."""
    while files:
        kept = files
        while names := colliding(flags, kept):
            kept = [file for file in kept if str(file) not in names]
        yield kept
        files = [file for file in files if file not in kept]


def tidy(flags, files):
    filters = f"--header-filter=^{re.escape(str(ROOT))}/(include|{'|'.join(FOLDERS)})/"
    options = ["--quiet", f"--config-file={ROOT}/.clang-tidy", filters]
    command = [tool("clang-tidy"), *options, str(unit_of(files)), "--", *flags]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout or (result.stderr if result.returncode else "")


def lint(group):
    """The findings in a group of files, "" when there are none."""
    flags, files = group
    clean = CACHE / f"clean-{digest(flags, files)}"
    if clean.exists():
        return ""
    findings = "".join(tidy(flags, part) for part in compatible(flags, files))
    if not findings:
        clean.touch()
    return findings


def main(arguments):
    CACHE.mkdir(parents=True, exist_ok=True)
    paths = [pathlib.Path(argument).resolve() for argument in arguments] or [ROOT / folder for folder in FOLDERS]
    compilations = json.loads((ROOT / "build" / "compile_commands.json").read_text())
    precompile(compilations)
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
