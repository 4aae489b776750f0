"""The tasks of scripts/reproduce for one teacher and one student, a few steps each: `small_study.py FOLDER`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reproduce"))

import rows  # noqa: E402
from study import Study  # noqa: E402
from tasks import Runner, TaskFailed  # noqa: E402

SCALE = 0.01
STUDENT = rows.BY_NAME["cd"]


def main() -> None:
    out = Path(sys.argv[1])
    study = Study(out, quick=True, device="cpu")
    study.scale, study.samples = SCALE, 40
    measurements = [m for m in rows.measurements(SCALE) if m.name in ("cd-1", "cd-searched-2")]
    trainings = [rows.BY_NAME[STUDENT.teacher], STUDENT]
    tasks = [study.classifier_task(), *map(study.training, trainings), study.search(STUDENT.name)]
    try:
        Runner([*tasks, *map(study.measurement, measurements)], out, 1, {"OMP_NUM_THREADS": "1"}).run()
    except TaskFailed as failure:
        sys.exit(f"study: {failure}")


if __name__ == "__main__":
    main()
