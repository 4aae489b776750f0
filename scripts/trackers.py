"""Experiment trackers, each with the same few calls. What they need is imported when one is made: ImportError otherwise.

`lines` takes [(step, {name: number})] in ascending steps, `picture` comes after the lines up to its step.
"""

import os
import time
import uuid


def flat(config, prefix=""):
    """{"train.steps": 1000} of {"train": {"steps": 1000}}."""
    result = {}
    for key, value in config.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result


class Wandb:
    """Settings of Weights & Biases' own, such as WANDB_MODE=offline, are read from the environment."""

    def __init__(self, run_id, project, name, config, folder):
        import wandb

        self._image = wandb.Image
        self.run_id = run_id or uuid.uuid4().hex[:8]
        self.sent = 0  # it does not tell where it has no network
        self._run = wandb.init(
            id=self.run_id,
            resume="allow",
            project=project,
            name=name,
            config=config,
            dir=os.environ.get("WANDB_DIR", folder),
            settings=wandb.Settings(console="off", x_disable_stats=True),
        )
        self._last = 0

    def lines(self, lines):
        for step, numbers in lines:
            self._run.log(numbers, step=step)
            self._last = step

    def picture(self, step, path):
        # Its steps only go up.
        self._run.log({"samples": self._image(str(path), caption=f"step {step}")}, step=max(step, self._last))

    def config(self, config):
        self._run.config.update(config, allow_val_change=True)

    def close(self, finished):
        self._run.finish()


class Mlflow:
    """MLFLOW_TRACKING_URI names the server, or a store of its own in a file: sqlite:///mlflow.db."""

    def __init__(self, run_id, project, name, config, folder):
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._metric, self._param = Metric, Param
        self._client = MlflowClient()
        if run_id is None:
            found = self._client.get_experiment_by_name(project)
            experiment = found.experiment_id if found else self._client.create_experiment(project)
            run_id = self._client.create_run(experiment, run_name=name).info.run_id
        self.run_id = run_id
        self._client.update_run(run_id, status="RUNNING")
        self.config(config)
        # Its word counts, should this process have died before it could note what it sent.
        self.sent = max((metric.step for metric in self._client.get_metric_history(run_id, "learning_rate")), default=0)

    def lines(self, lines):
        now = int(1000 * time.time())
        numbers = [(name, number, now, step) for step, line in lines for name, number in line.items()]
        self._client.log_batch(self.run_id, metrics=[self._metric(*number) for number in numbers])

    def picture(self, step, path):
        from PIL import Image

        with Image.open(path) as image:
            self._client.log_image(self.run_id, image, key="samples", step=step)

    def config(self, config):
        """A parameter keeps its first value in MLflow; what a resumed run goes on with is in the file."""
        known = self._client.get_run(self.run_id).data.params
        new = [self._param(name, str(value)) for name, value in flat(config).items() if name not in known]
        self._client.log_batch(self.run_id, params=new)
        self._client.log_dict(self.run_id, config, "config.yaml")

    def close(self, finished):
        if finished:
            self._client.set_terminated(self.run_id, "FINISHED")


TRACKERS = {"wandb": Wandb, "mlflow": Mlflow}
