# ruff: noqa: E501  # one change, one line
"""The changes that planted_faults.py makes, one at a time: faults that a check must name, and lines said otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One wrong line. `part` is what the first line of a check must name, `scores` what its scores alone must name.

    Both are regular expressions; `core` tells a fault in fmbench/ from one in a component.
    """

    name: str
    file: str
    old: str
    new: str
    part: str
    scores: str
    core: bool = False


@dataclass(frozen=True)
class Reformulation:
    """A line that says the same in another way; rounding may differ."""

    name: str
    file: str
    old: str
    new: str


def _component(name: str, file: str, old: str, new: str, part: str) -> Fault:
    return Fault(name, f"plugins/{file}", old, new, part, part)


def _core(name: str, file: str, old: str, new: str, code: str, scores: str) -> Fault:
    return Fault(name, f"fmbench/{file}", old, new, f"the {code} code|{scores}", scores, core=True)


TRAININGS = "whole suite|all trainings"
SAMPLES = "whole suite|all samples"

FAULTS = (
    _component("a wrong weight", "fmbench_solvers/heun.py", "b=(1 / 2, 1 / 2)", "b=(1 / 2, 0.43)", "solver heun"),
    _component("a wrong weight", "fmbench_solvers/euler.py", "b=(1,)", "b=(0.97,)", "solver euler"),
    _component("a forgotten factor", "fmbench_solvers/ab2.py", "r = h / (2 * h_previous)", "r = h / h_previous", "solver ab2"),
    _component("a forgotten factor", "fmbench_solvers/_diffusion.py", "torch.add(data * (1 + growth / 2), data_before, alpha=-growth / 2)", "torch.add(data * (1 + growth), data_before, alpha=-growth)", "solver dpmpp_2m"),
    _component("a squared ratio", "fmbench_solvers/_diffusion.py", "data * (following.alpha - node.alpha * ratio)", "data * (following.alpha - node.alpha * ratio**2)", "solver dpmpp_2m"),
    _component("a wrong time", "fmbench_solvers/torchdiffeq_adaptive.py", "velocity(x, t.clamp(max=1).repeat(batch))", "velocity(x, t.clamp(max=0.9).repeat(batch))", "solver dopri5"),
    _component("off by one", "fmbench_grids/cosine.py", "u = torch.arange(steps + 1, dtype=torch.float64) / steps", "u = torch.arange(steps + 1, dtype=torch.float64) / (steps + 1)", "grid cosine"),
    _component("a wrong exponent", "fmbench_grids/uniform.py", "torch.arange(steps + 1, dtype=torch.float64) / steps", "(torch.arange(steps + 1, dtype=torch.float64) / steps) ** 1.5", "grid uniform"),
    _component("a factor twice", "fmbench_grids/cosine.py", "torch.sin(math.pi / 4 * u).square()", "torch.sin(math.pi / 4 * u * u).square()", "grid cosine"),
    _component("an inverse left out", "fmbench_couplings/_transport.py", "return columns.argsort()", "return columns", "coupling minibatch_ot"),
    _component("data scaled", "fmbench_couplings/independent.py", "return x_0, x_1, y", "return x_0, 0.9 * x_1, y", "coupling independent"),
    _component("a forgotten factor", "fmbench_paths/cosine.py", "HALF_PI * sigma_t, -HALF_PI * alpha_t", "HALF_PI * sigma_t, -alpha_t", "path cosine"),
    _component("a wrong coefficient", "fmbench_paths/linear.py", "(1 - t_) * x_0, x_1 - x_0)", "(1 - t_) * x_0, x_1 - 0.9 * x_0)", "path linear"),
    _component("noise left at the end", "fmbench_paths/cosine.py", "torch.sin(HALF_PI * (1 - t))", "torch.sin(HALF_PI * (1 - 0.9 * t))", "path cosine"),
    _component("the shape left out", "fmbench_t_distributions/u_shaped.py", "(centred + 0.5).clamp(0, 1).to(u.dtype)", "(0 * centred + u).clamp(0, 1).to(u.dtype)", "t_distribution u_shaped"),
    _component("a forgotten factor", "fmbench_t_distributions/u_shaped.py", "(2 * u.double() - 1)", "(u.double() - 1)", "t_distribution u_shaped"),
    _component("squared", "fmbench_t_distributions/uniform.py", "        return u\n", "        return u.square()\n", "t_distribution uniform"),
    _component("a dropped coefficient", "fmbench_objectives/x1_prediction.py", "divide(x - alpha_t * output,", "divide(x - output,", "objective x1_prediction"),
    _component("another loss", "fmbench_objectives/velocity.py", "F.mse_loss(output", "F.l1_loss(output", "objective velocity"),
    _component("a forgotten factor", "fmbench_metrics/gaussians.py", "target.variance - 2 * root_trace(common)", "target.variance - root_trace(common)", "fid_digits"),
    _component("a wrong sign", "fmbench_metrics/x1_error.py", "(d_sigma_t * x - sigma_t * v)", "(d_sigma_t * x + sigma_t * v)", "x1_error"),
    _core("EMA at 0.9 of its decay", "training/ema.py", "self.parameters, 1 - self.averaging.at(step))", "self.parameters, 1 - 0.9 * self.averaging.at(step))", "training", TRAININGS),
    _core("EMA that never warms up", "training/state.py", "self.average.update(self.step)", "self.average.update(0)", "training", TRAININGS),
    _core("half a cosine schedule", "training/lr_schedule.py", "math.cos(math.pi * done)", "math.cos(math.pi * done / 2)", "training", TRAININGS),
    _core("gradients never cleared", "training/state.py", "            parameter.grad = None\n", "            parameter.grad.mul_(0.9)\n", "training", TRAININGS),
    _core("times reversed", "training/path_batches.py", "joined(sample.t for sample in samples)", "joined(1 - sample.t for sample in samples)", "training", TRAININGS),
    _core("early times never drawn", "training/batch_sampler.py", ".clamp_(min=2.0**-25)", ".clamp_(min=0.1)", "training", TRAININGS),
    _core("training noise too small", "training/pairing.py", "sources = [self._source(self._batch, noise) for", "sources = [0.9 * self._source(self._batch, noise) for", "training", TRAININGS),
    _core("one block of noise again and again", "model/trained_model.py", 'f"{role}/{number}"', 'f"{role}/0"', "evaluation", SAMPLES),
    _core("sampling stops short", "evaluation/sampling.py", ", times.to(model.context.device)\n", ", (0.95 * times).to(model.context.device)\n", "evaluation", SAMPLES),
    _core("a wrong sign in the exact velocity", "components/gaussian_mixture.py", "posterior.mean_x_1 + d_sigma_t[:, None]", "posterior.mean_x_1 - d_sigma_t[:, None]", "evaluation", "excess_loss"),
)  # fmt: skip

REFORMULATIONS = (
    Reformulation("heun's weights", "plugins/fmbench_solvers/heun.py", "b=(1 / 2, 1 / 2)", "b=(0.5, 0.5)"),
    Reformulation("ab2's factor", "plugins/fmbench_solvers/ab2.py", "alpha=h * (1 + r)", "alpha=h + h * r"),
    Reformulation("dpmpp_2m's sum", "plugins/fmbench_solvers/_diffusion.py", "torch.add(data * (1 + growth / 2), data_before, alpha=-growth / 2)", "data + growth / 2 * (data - data_before)"),
    Reformulation("the linear path's sum", "plugins/fmbench_paths/linear.py", "t_ * x_1 + (1 - t_) * x_0, x_1 - x_0", "x_0 + t_ * (x_1 - x_0), x_1 - x_0"),
    Reformulation("the cosine path's angle", "plugins/fmbench_paths/cosine.py", "torch.sin(HALF_PI * (1 - t))", "torch.cos(HALF_PI * t)"),
    Reformulation("the loss's square", "plugins/fmbench_objectives/velocity.py", 'F.mse_loss(output, sample.dx_t, reduction="none")', "(output - sample.dx_t).square()"),
    Reformulation("u_shaped's sum", "plugins/fmbench_t_distributions/u_shaped.py", "(2 * u.double() - 1)", "(u.double() + u.double() - 1)"),
    Reformulation("the cosine grid's product", "plugins/fmbench_grids/cosine.py", "2 * torch.sin(math.pi / 4 * u).square()", "(1 - torch.cos(math.pi / 2 * u))"),
    Reformulation("the moving average's weight", "fmbench/training/ema.py", "self.parameters, 1 - self.averaging.at(step))", "self.parameters, -(self.averaging.at(step) - 1))"),
    Reformulation("the mean loss of a part", "fmbench/training/state.py", "loss = loss * share", "loss = loss / (1 / share)"),
)  # fmt: skip
