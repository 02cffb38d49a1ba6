"""Two moons."""

import torch
from benchopt import BaseDataset
from sklearn.datasets import make_moons


class Dataset(BaseDataset):
    """500 points."""

    name = "moons"

    def get_data(self):
        """Return the points."""
        points, _ = make_moons(500, noise=0.05, random_state=0)
        return {"data": torch.tensor(points, dtype=torch.float32)}
