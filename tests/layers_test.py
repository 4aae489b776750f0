"""The shape of the source tree: what compiles because all modules share one include folder, and yet must not be.

Run as `python3 tests/layers_test.py`; prints one line a violation.
"""

import pathlib
import re
import sys

# Lowest first: a module may include itself and those before it.
MODULES = ["base", "yaml", "io", "kernels", "diffusion", "nn", "data", "distributed", "metrics", "training", "run", "cli", "bench"]

# Pairs that the order allows and the design does not: networks know nothing of diffusion.
FORBIDDEN = {("nn", "diffusion"), ("diffusion", "nn")}

# External headers that one place alone may see.
CONFINED = {
    "yaml-cpp/": "src/yaml/",
    "spdlog/": "src/base/log.cpp",
    "torch/csrc/distributed/": "src/distributed/",
}

# What one place alone may call, and what to call instead.
CALLED_ONCE = {
    ".dump(": ("include/cm/io/json.h", "json_text, which loses no result to a path that is no UTF-8"),
    "Json::parse(": ("src/io/json.cpp", "parse_json, which no text keeps for minutes"),
}

CMAKE_MODULE = re.compile(r"^cm_module\((\w+)", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def module_of(path):
    """base for src/base/x.cpp and include/cm/base/x.h."""
    parts = path.parts
    return parts[2] if parts[0] == "include" else parts[1]


def confinement_problems(path, text):
    for _, header in INCLUDE.findall(text):
        for prefix, place in CONFINED.items():
            if header.startswith(prefix) and not path.as_posix().startswith(place):
                yield f"{path}: includes {header}, which only {place} may"


def layer_problems(root, path, text):
    own = module_of(path)
    for bracket, header in INCLUDE.findall(text):
        if header.startswith("cm/"):
            used = header.split("/")[1]
            if used not in MODULES:
                yield f"{path}: includes {header} of an unknown module"
            elif MODULES.index(used) > MODULES.index(own) or (own, used) in FORBIDDEN:
                yield f"{path}: {own} may not include {header}"
        elif bracket == '"' and not (root / path.parent / header).exists():
            yield f'{path}: includes "{header}"; a header of the project is "cm/<module>/x.h", or lies beside its user'


def call_problems(path, text):
    for call, (place, instead) in CALLED_ONCE.items():
        if call in text and path.as_posix() != place:
            yield f"{path}: calls {call}), which is {place}'s; call {instead}"


def mirror_problem(root, path):
    """src/m/x.cpp has include/cm/m/x.h; a part that only its own module uses has its header beside it instead."""
    if path.suffix != ".cpp":
        return None
    public = root / "include" / "cm" / module_of(path) / f"{path.stem}.h"
    if public.exists() or (root / path).with_suffix(".h").exists():
        return None
    return f"{path}: has neither {public.relative_to(root)} nor a private header beside it"


def list_problem(root):
    built = CMAKE_MODULE.findall((root / "CMakeLists.txt").read_text(encoding="utf-8"))
    if built != [module for module in MODULES if module in built]:
        return f"CMakeLists.txt: builds {built}, which is not in the order of MODULES in tests/layers_test.py"
    return None


def needless_headers(root):
    """Public headers that no other module, executable or example needs, be it through another header."""
    texts = dict(file for folder in ("include", "src", "apps", "bench", "tests/consumer") for file in sources(root, folder))
    public = {path.relative_to("include").as_posix(): path for path in texts if path.parts[0] == "include"}

    def included(path):
        return {header for _, header in INCLUDE.findall(texts[path]) if header in public}

    def place(path):
        return module_of(path) if path.parts[0] in ("include", "src") else path.parent

    needed, found = set(), set()
    for path in texts:
        found |= {header for header in included(path) if module_of(public[header]) != place(path)}
    while found:
        needed |= found
        found = {header for known in found for header in included(public[known])} - needed
    return sorted(public[header] for header in public.keys() - needed)


def library_problem(root):
    example = (root / "tests" / "consumer" / "main.cpp").read_text(encoding="utf-8")
    if example in (root / "docs" / "library.md").read_text(encoding="utf-8"):
        return None
    return "docs/library.md: shows another program than tests/consumer/main.cpp"


def sources(root, folder):
    for file in sorted((root / folder).rglob("*")):
        if file.suffix in {".h", ".cpp", ".cu", ".cuh"}:
            yield file.relative_to(root), file.read_text(encoding="utf-8")


def problems(root):
    yield list_problem(root)
    yield library_problem(root)
    for path in needless_headers(root):
        yield f"{path}: no other module needs it; it belongs beside its source, in src/{module_of(path)}"
    for folder in ("include/cm", "src"):
        for path, text in sources(root, folder):
            if module_of(path) not in MODULES:
                yield f"{path}: its folder is not in the list of modules of tests/layers_test.py"
                continue
            yield from layer_problems(root, path, text)
            yield mirror_problem(root, path)
    for folder in ("include", "src", "apps", "bench", "tests"):
        for path, text in sources(root, folder):
            yield from confinement_problems(path, text)
            if folder != "tests":
                yield from call_problems(path, text)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    found = list(filter(None, problems(root)))
    print("\n".join(found) if found else "layers: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
