#!/usr/bin/env python3
"""Makes a Markdown table of what the parity tests measured; fails when something is out of tolerance.

    scripts/parity_table.py LINES [--write FILE]

LINES is the file that the environment variable CM_PARITY_TABLE named while the tests ran. Each comparison appends one
JSON object as a line, by one write in append mode, so that tests may run at once:

    topic          what is compared, a section of the table: "losses"
    case           "losses cd_heun.l2.uniform": the fixture's file and the part of it
    quantity       "gradients"
    kind           "relative", "elementwise", "absolute" or "exact": see KINDS
    error          the measured one, or null when it is no finite number (NaN, other shapes)
    tolerance      the test fails above it
    computed_with  library, version, device: "LibTorch 2.11.0, CPU (AVX2), 1 thread, TF32 off"

Lines that agree in topic, case, quantity, kind and tolerance are one row, which shows the largest error. The table goes
to stdout and, with --write, into FILE between its two lines "<!-- parity table" and "<!-- end of the parity table". A
row out of tolerance is marked, nothing is written and the exit code is 1.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import sys
import typing

KINDS = {
    "relative": "divided by the largest entry of theirs (for gradients, of all gradients of the network)",
    "elementwise": "each entry divided by its own size",
    "absolute": "not divided",
    "exact": "must be 0",
}
BEGIN = "<!-- parity table"
END = "<!-- end of the parity table"


class Row(typing.NamedTuple):
    topic: str
    case: str
    quantity: str
    kind: str
    tolerance: float


@dataclasses.dataclass
class Table:
    largest: dict[Row, float] = dataclasses.field(default_factory=dict)  # in the order of the first lines
    comparisons: int = 0
    computed_with: dict[str, None] = dataclasses.field(default_factory=dict)  # a set that keeps its order

    def add(self, line: dict) -> None:
        row = Row(line["topic"], line["case"], line["quantity"], line["kind"], float(line["tolerance"]))
        if row.kind not in KINDS:
            raise ValueError(f"kind {row.kind!r} is none of {', '.join(KINDS)}")
        error = math.inf if line["error"] is None else abs(float(line["error"]))
        self.largest[row] = max(self.largest.get(row, 0.0), math.inf if math.isnan(error) else error)
        self.comparisons += 1
        self.computed_with[line["computed_with"]] = None

    def failed(self) -> list[Row]:
        return [row for row, error in self.largest.items() if not error <= row.tolerance]


def read_table(lines: typing.Iterable[str]) -> Table:
    table = Table()
    for number, line in enumerate(lines, start=1):
        try:
            table.add(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is not a comparison ({error!r}): {line.strip()[:100]}") from error
    if not table.largest:
        raise ValueError("no comparison was recorded")
    return table


def number(value: float, digits: int) -> str:
    """1.0e-05 → 1.0e-5; 0 stays 0."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def tolerance_cell(row: Row) -> str:
    return row.kind if row.kind == "exact" else f"{number(row.tolerance, 1)} {row.kind}"


def error_cell(row: Row, error: float) -> str:
    text = number(error, 2) if math.isfinite(error) else "not a number"
    return text if error <= row.tolerance else f"**{text}: FAILED**"


def summary(table: Table) -> list[str]:
    failed = len(table.failed())
    verdict = f"**{failed} of them out of tolerance**" if failed else "all within tolerance"
    lines = [f"{table.comparisons} comparisons in {len(table.largest)} rows, {verdict}. Computed with:", ""]
    lines += [f"- {setting}" for setting in table.computed_with]
    lines += ["", "Errors are the largest |ours − theirs|:", ""]
    return lines + [f"- {kind}: {text}" for kind, text in KINDS.items()]


def markdown(table: Table) -> str:
    lines = summary(table)
    for topic in sorted({row.topic for row in table.largest}):
        lines += ["", f"## {topic}", "", "| case | quantity | tolerance | largest error |", "|---|---|---|---|"]
        lines += [
            f"| {row.case} | {row.quantity} | {tolerance_cell(row)} | {error_cell(row, error)} |"
            for row, error in sorted(table.largest.items(), key=lambda item: item[0].case)
            if row.topic == topic
        ]
    return "\n".join(lines) + "\n"


def put_between_markers(document: str, text: str) -> str:
    lines = document.splitlines(keepends=True)
    begins = [i for i, line in enumerate(lines) if line.startswith(BEGIN)]
    ends = [i for i, line in enumerate(lines) if line.startswith(END)]
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ValueError(f"needs one line '{BEGIN} …' and after it one line '{END} …'")
    return "".join(lines[: begins[0] + 1]) + "\n" + text + "\n" + "".join(lines[ends[0] :])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=pathlib.Path, metavar="LINES")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    try:
        with options.lines.open(encoding="utf-8") as lines:
            table = read_table(lines)
        text = markdown(table)
        print(text)
        if table.failed():
            count = f"{len(table.failed())} of {len(table.largest)}"
            print(f"parity_table.py: {count} rows out of tolerance", file=sys.stderr)
            return 1
        if options.write:
            document = options.write.read_text(encoding="utf-8")
            options.write.write_text(put_between_markers(document, text), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"parity_table.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
