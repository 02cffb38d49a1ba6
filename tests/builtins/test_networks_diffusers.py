"""The networks from the library diffusers: published sizes, agreement with the library, and what is refused."""

import copy
import importlib.util

import pytest
import torch
from helpers import built_ins
from network_weights import moved, parameter_count
from torch.nn import functional as F

from fmbench.errors import ComponentError, PluginError
from fmbench_networks.adm_unet import ADMUNet
from fmbench_networks.dit import DiT

SMALL = {
    "adm_unet": ADMUNet(channels=8, multipliers=(1, 2), attention=(1,), head_channels=8),
    "dit": DiT(width=32, depth=3),
}
both = pytest.mark.parametrize("network", SMALL.values(), ids=SMALL.keys())


def millions(network, shape, classes):
    with torch.device("meta"):
        return round(parameter_count(network.build(shape, classes)) / 1e6)


def test_adm_unet_has_the_published_size():
    imagenet_64 = ADMUNet(
        channels=192, multipliers=(1, 2, 3, 4), blocks=3, attention=(1, 2, 3), head_channels=64, dropout=0.1
    )
    assert millions(imagenet_64, (3, 64, 64), 1000) == 296


@pytest.mark.parametrize(
    ("depth", "width", "heads", "published"),
    [(12, 384, 6, 33), (12, 768, 12, 130), (24, 1024, 16, 458), (28, 1152, 16, 675)],
    ids=["S", "B", "L", "XL"],
)
def test_dit_has_the_published_sizes(depth, width, heads, published):
    assert millions(DiT(patch=2, width=width, depth=depth, heads=heads), (4, 32, 32), 1000) == published


@pytest.mark.parametrize(("size", "padded"), [((8, 8), (8, 8)), ((7, 9), (8, 12))])
def test_adm_unet_is_the_library_s_model(size, padded):
    from diffusers import UNet2DModel

    network = ADMUNet(channels=8, multipliers=(1, 1, 2), blocks=2, attention=(1,), head_channels=4)
    module = moved(network.build((3, *size), 5)).eval()
    library = UNet2DModel(
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 8, 16),
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"),
        up_block_types=("ResnetUpsampleBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        layers_per_block=2,
        downsample_type="resnet",
        upsample_type="resnet",
        resnet_time_scale_shift="scale_shift",
        attention_head_dim=4,
        norm_num_groups=8,
        attn_norm_num_groups=8,
        num_class_embeds=6,
    ).eval()
    library.load_state_dict(module.model.state_dict())
    x, t, y = torch.randn(3, 3, *size), torch.rand(3), torch.tensor([0, 4, 5])
    padding = (0, padded[1] - size[1], 0, padded[0] - size[0])
    expected = library(F.pad(x, padding), 1000 * t, y).sample[:, :, : size[0], : size[1]]
    torch.testing.assert_close(module(x, t, y), expected)


def test_dit_is_the_library_s_model_with_one_embedding_for_all_blocks():
    from diffusers import DiTTransformer2DModel

    module = moved(DiT(width=24, depth=3, heads=2).build((1, 6, 6), 4)).eval()
    library = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=1,
        num_layers=3,
        sample_size=6,
        patch_size=2,
        num_embeds_ada_norm=4,
        norm_eps=1e-6,
    ).eval()
    mine = module.model.state_dict()
    first = "transformer_blocks.0.norm1.emb."
    shared = {name.removeprefix(first): value for name, value in mine.items() if name.startswith(first)}
    copies = {f"transformer_blocks.{i}.norm1.emb.{name}": value for i in range(3) for name, value in shared.items()}
    library.load_state_dict(mine | copies)
    x, t, y = torch.randn(3, 1, 6, 6), torch.rand(3), torch.tensor([0, 3, 4])
    torch.testing.assert_close(module(x, t, y), library(x, timestep=1000 * t, class_labels=y).sample)


@both
def test_the_output_starts_at_zero(network):
    module = network.build((1, 8, 8), 3)
    assert not module(torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 3])).any()


def test_blocks_of_dit_start_as_the_identity():
    tokens, y = torch.randn(2, 16, 32), torch.tensor([0, 3])
    for block in SMALL["dit"].build((1, 8, 8), 3).model.transformer_blocks:
        assert torch.equal(block(tokens, timestep=torch.rand(2), class_labels=y), tokens)


@both
def test_no_label_is_dropped_while_training(network):
    module = moved(network.build((1, 8, 8), 3)).train()
    x, t, y = torch.randn(1, 1, 8, 8).expand(64, -1, -1, -1), torch.full((64,), 0.5), torch.zeros(64, dtype=torch.int64)
    output = module(x, t, y)
    torch.testing.assert_close(output, output[:1].expand_as(output))


@both
def test_every_weight_is_saved_once(network):
    module = network.build((1, 8, 8), 3)
    weights = list(module.state_dict().values())
    assert len({weight.data_ptr() for weight in weights}) == len(weights)
    assert set(module.state_dict()) == {name for name, _ in module.named_parameters()}


@both
def test_a_copy_has_weights_of_its_own(network):
    module = moved(network.build((1, 8, 8), 3)).eval()
    inputs = torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 3])
    expected = module(*inputs)
    copied = copy.deepcopy(module)
    assert torch.equal(copied(*inputs), expected)
    for parameter in module.parameters():
        parameter.detach().zero_()
    assert torch.equal(copied(*inputs), expected)


def test_adm_unet_says_what_it_cannot_serve():
    with pytest.raises(ValueError, match=r"at least 8 pixels high or wide; found 4x5\. Take fewer multipliers"):
        ADMUNet(channels=8, multipliers=(1, 1, 1, 1), attention=(), head_channels=8).build((1, 4, 5), 0)
    with pytest.raises(ValueError, match=r"attention names levels 0 to 1.*found 2"):
        ADMUNet(multipliers=(1, 2))
    with pytest.raises(ValueError, match="level 1 has 32, found head_channels 12"):
        ADMUNet(channels=16, multipliers=(1, 2), attention=(), head_channels=12)


@pytest.mark.parametrize(("width", "heads"), [(30, 2), (32, 5)])
def test_dit_says_which_widths_it_takes(width, heads):
    with pytest.raises(ValueError, match=f"multiple of 4 and of heads; found width {width} and heads {heads}"):
        DiT(width=width, heads=heads)


@pytest.mark.parametrize("name", SMALL)
def test_without_the_library_the_message_says_what_to_install(name, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: found(name, *rest) if name != "diffusers" else None
    )
    registry = built_ins()
    spec = registry.spec("network", name)
    with pytest.raises(PluginError, match=rf"{name} .*pip install 'fmbench\[networks\]'"):
        registry.build(spec)


def test_a_wrong_number_of_heads_is_the_user_s_error():
    registry = built_ins()
    with pytest.raises(ComponentError, match=r"network dit.*multiple of 4 and of heads"):
        registry.build(registry.spec("network", "dit", {"heads": 7}))
