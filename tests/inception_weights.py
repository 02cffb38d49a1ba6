"""A file of random weights in Inception's architecture, for tests and benchmarks: the real ones do not ship."""

from pathlib import Path
from unittest import mock

import torch


def random_inception(path: Path) -> torch.nn.Module:
    """Write the weights file, and return torch-fidelity's network that has them."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    with (
        mock.patch.object(module, "load_state_dict_from_url", return_value={}),
        mock.patch.object(module.FeatureExtractorInceptionV3, "load_state_dict", return_value=None),
    ):
        torch.manual_seed(0)
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):  # so that features differ from nought and from each other
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    network.Conv2d_1a_3x3.conv.weight.mul_(10)
    torch.save(network.state_dict(), path)
    return network
