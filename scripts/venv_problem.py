"""Prints the first thing that is wrong with the packages of the Python that runs it; nothing when all is well.

    .venv/bin/python scripts/venv_problem.py scripts/requirements.txt ...

Compares versions, follows dependencies, and checks by each package's RECORD that every file is there in full: an
installation that was interrupted or has lost files is found in a second, without importing anything.
"""

import csv
import importlib.metadata as metadata
import os
import sys

from pip._vendor.packaging.requirements import Requirement


def applies(requirement, extras):
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)


def file_problem(distribution):
    name = distribution.metadata["Name"]
    record = distribution.read_text("RECORD")
    if record is None:
        return f"{name} is half installed"
    for path, _, size in csv.reader(record.splitlines()):
        absolute = distribution.locate_file(path)
        if size and not (os.path.exists(absolute) and os.path.getsize(absolute) == int(size)):
            return f"{name} is damaged at {path}"
    return None


def problem(requirement, seen):
    """The first problem of the package that `requirement` names or of one that it depends on, or None."""
    if (requirement.name, frozenset(requirement.extras)) in seen:
        return None
    seen.add((requirement.name, frozenset(requirement.extras)))
    try:
        distribution = metadata.distribution(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(distribution.version, prereleases=True):
        return f"{requirement.name} is {distribution.version}, needed is {requirement.specifier}"
    dependencies = map(Requirement, distribution.requires or [])
    chosen = [d for d in dependencies if applies(d, requirement.extras or {""})]
    return file_problem(distribution) or next(filter(None, (problem(d, seen) for d in chosen)), None)


def main(files):
    seen = set()
    for file in files:
        with open(file, encoding="utf-8") as lines:
            requirements = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
        for requirement in requirements:
            found = problem(requirement, seen) if applies(requirement, {""}) else None
            if found:
                print(found)
                return


if __name__ == "__main__":
    main(sys.argv[1:])
