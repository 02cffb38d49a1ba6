"""Trained networks as MLflow's logged models, which `mlflow.pytorch.load_model` loads. Off unless it is asked for."""

from __future__ import annotations

import inspect
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbench.cells.cells import TrainingCell

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME, FORM = "velocity", "fmbench.saved_as"
INPUTS = ("x", "t", "labels")


@dataclass(frozen=True)
class TrainedNetworks:
    """How trained networks are had: `load` returns a module with an `example` of its inputs, `requires` its needs."""

    load: Callable[[TrainingCell], Any]
    requires: Callable[[TrainingCell], Sequence[str]]


@dataclass(frozen=True)
class NetworkToLog:
    """The network of one training cell, which is loaded when it is written."""

    cell: TrainingCell
    networks: TrainedNetworks

    def save(self, folder: Path, model_id: str, run_id: str) -> str:
        """Write it as MLflow's files, with its signature and requirements; return how, in words.

        As a traced graph, which needs no code but torch's; as a pickle, which needs fmbench and the plugins, where this
        version of MLflow has no graphs, or the network cannot be traced.
        """
        import mlflow.pytorch

        module = self.networks.load(self.cell)
        parameters = inspect.signature(mlflow.pytorch.save_model).parameters
        why = "this version of MLflow keeps no graphs"
        if "serialization_format" in parameters:
            try:
                graph = {"serialization_format": "pt2", "input_example": module.example}
                self._save(module, folder, model_id, run_id, [f"torch=={version('torch')}"], graph)
                return "a traced graph: needs torch alone"
            except Exception as error:  # of a plugin's network, it may be anything
                why = (
                    f"it cannot be traced ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
                )
                shutil.rmtree(folder, ignore_errors=True)
        how = {"serialization_format": "pickle"} if "serialization_format" in parameters else {}
        self._save(module, folder, model_id, run_id, self.networks.requires(self.cell), how)
        return f"a pickle: needs fmbench and its plugins, and runs their code when it is loaded; {why}"

    def _save(
        self,
        module: Any,
        folder: Path,
        model_id: str,
        run_id: str,
        requirements: Sequence[str],
        how: Mapping[str, Any],
    ) -> None:
        import mlflow.pytorch
        from mlflow.models import Model, ModelSignature
        from mlflow.types import Schema, TensorSpec

        inputs: list[Any] = [
            TensorSpec(value.numpy().dtype, (-1, *value.shape[1:]), name)
            for name, value in zip(INPUTS, module.example, strict=False)
        ]
        outputs: list[Any] = [TensorSpec(inputs[0].type, inputs[0].shape)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of MLflow about pickles, and of torch about itself
            mlflow.pytorch.save_model(
                module,
                str(folder),
                mlflow_model=Model(run_id=run_id, model_id=model_id),
                signature=ModelSignature(Schema(inputs), Schema(outputs)),
                pip_requirements=list(requirements),
                **how,
            )


def log_model(client: MlflowClient, experiment: str, run_id: str, network: NetworkToLog) -> None:
    """Log a network once to its run; one whose logging was cut off is made anew."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    for model in found:
        if str(model.status) == str(LoggedModelStatus.READY):
            return
        client.delete_logged_model(model.model_id)
    model = client.create_logged_model(experiment, NAME, run_id, tags={"fmbench.cell": network.cell.key})
    with tempfile.TemporaryDirectory(prefix="fmbench-") as folder:
        how = network.save(Path(folder) / "model", model.model_id, run_id)
        client.set_logged_model_tags(model.model_id, {FORM: how})
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
