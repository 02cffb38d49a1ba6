"""Logs runs to MLflow as one does at first: one call a parameter, one call a value, in the loop, to sqlite.

    python naive_mlflow.py RUNS.json

RUNS.json holds a list of trainings, each a list of runs `{"name", "params", "values": [[name, value, step], ...]}`. The
last line that it prints holds the seconds of each training's runs.
"""

import json
import sys
import time
from pathlib import Path

import mlflow

mlflow.set_tracking_uri("sqlite:///naive.db")
mlflow.set_experiment("naive")
seconds = []
for training in json.loads(Path(sys.argv[1]).read_text()):
    started = time.perf_counter()
    for run in training:
        with mlflow.start_run(run_name=run["name"]):
            for name, value in run["params"].items():
                mlflow.log_param(name, value)
            for name, value, step in run["values"]:
                mlflow.log_metric(name, value, step=step)
    seconds.append(time.perf_counter() - started)
print(json.dumps(seconds))
