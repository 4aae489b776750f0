"""Comparisons with other implementations, for the table of docs/parity.md: the same lines as tests/support/parity.h."""

import json
import os


def record(topic, case, quantity, kind, error, tolerance, computed_with):
    """Appends a line to the file that CM_PARITY_TABLE names, if it names one: see scripts/parity_table.py."""
    path = os.environ.get("CM_PARITY_TABLE")
    if not path:
        return
    line = {"topic": topic, "case": case, "quantity": quantity, "kind": kind, "error": error, "tolerance": tolerance}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"computed_with": computed_with}) + "\n")
