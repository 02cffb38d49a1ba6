"""DINOv2 and CLIP, whose weights do not ship: what they see, and what is said of files."""

import hashlib

import numpy as np
import pytest
import torch
from picture_sets import BLURRED, NOISE, REAL, Pictures, by_name
from torch import nn
from vision_weights import DEPTH, GRID, HIDDEN, PATCH, PROJECTED, WIDTH, clip_weights, dinov2_weights

from fmbench import DataError
from fmbench.testing.evidence import make_evidence
from fmbench_metrics import clip, dinov2
from fmbench_metrics.quantiser import quantise
from fmbench_metrics.vision import resized

LEVELS = torch.randint(0, 256, (5, 3, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", name="files")
def weights_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vision")
    paths = {"dinov2": folder / "dinov2.pth", "clip": folder / "clip.bin"}
    return paths, {"dinov2": dinov2_weights(paths["dinov2"]), "clip": clip_weights(paths["clip"])}


def torchs_block(weights, i):
    """Return torch's own transformer layer with the weights of a block of DINOv2, whose scales it has in two others."""
    mine = {name.removeprefix(f"blocks.{i}."): w for name, w in weights.items() if name.startswith(f"blocks.{i}.")}
    layer = nn.TransformerEncoderLayer(
        WIDTH,
        WIDTH // 64,
        HIDDEN,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=1e-6,
        batch_first=True,
        norm_first=True,
    )
    scale1, scale2 = mine["ls1.gamma"], mine["ls2.gamma"]
    state = {
        "self_attn.in_proj_weight": mine["attn.qkv.weight"],
        "self_attn.in_proj_bias": mine["attn.qkv.bias"],
        "self_attn.out_proj.weight": scale1[:, None] * mine["attn.proj.weight"],
        "self_attn.out_proj.bias": scale1 * mine["attn.proj.bias"],
        "linear1.weight": mine["mlp.fc1.weight"],
        "linear1.bias": mine["mlp.fc1.bias"],
        "linear2.weight": scale2[:, None] * mine["mlp.fc2.weight"],
        "linear2.bias": scale2 * mine["mlp.fc2.bias"],
    }
    layer.load_state_dict(state | {name: w for name, w in mine.items() if name.startswith("norm")})
    return layer.eval()


@torch.no_grad()
def test_dinov2_is_torchs_transformer_with_its_weights(files):
    """Places are interpolated as Meta's code does it: the point u of 16 lies at u times 3/16.1 of 3."""
    paths, weights = files
    w = weights["dinov2"]
    extractor = dinov2.dinov2(str(paths["dinov2"]), "cpu")
    x = extractor.prepared(LEVELS)
    assert x.shape == (5, 3, 224, 224)
    patches = nn.functional.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH)
    grid = w["pos_embed"][:, 1:].reshape(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, scale_factor=16.1 / GRID, mode="bicubic").permute(0, 2, 3, 1).flatten(1, 2)
    tokens = torch.cat([w["cls_token"].expand(5, 1, WIDTH), patches.flatten(2).mT], dim=1)
    tokens = tokens + torch.cat([w["pos_embed"][:, :1], grid], dim=1)
    for i in range(DEPTH):
        tokens = torchs_block(w, i)(tokens)
    expected = nn.functional.layer_norm(tokens[:, 0], (WIDTH,), w["norm.weight"], w["norm.bias"], 1e-6)
    torch.testing.assert_close(extractor.features(LEVELS), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_clip_is_torch_fidelitys_with_its_weights(files):
    from torch_fidelity.feature_extractor_clip import VisionTransformer

    paths, weights = files
    w = weights["clip"]
    side = GRID * PATCH
    theirs = VisionTransformer(side, PATCH, WIDTH, DEPTH, WIDTH // 64, PROJECTED)
    state = {
        "class_embedding": w["vision_model.embeddings.class_embedding"],
        "positional_embedding": w["vision_model.embeddings.position_embedding.weight"],
        "conv1.weight": w["vision_model.embeddings.patch_embedding.weight"],
        "proj": w["visual_projection.weight"].T,
    }
    for part in ("weight", "bias"):
        state |= {f"ln_pre.{part}": w[f"vision_model.pre_layrnorm.{part}"]}
        state |= {f"ln_post.{part}": w[f"vision_model.post_layernorm.{part}"]}
        for i in range(DEPTH):
            block, mine = f"transformer.resblocks.{i}", f"vision_model.encoder.layers.{i}"
            state[f"{block}.attn.in_proj_{part}"] = torch.cat([w[f"{mine}.self_attn.{x}_proj.{part}"] for x in "qkv"])
            state[f"{block}.attn.out_proj.{part}"] = w[f"{mine}.self_attn.out_proj.{part}"]
            state |= {f"{block}.ln_{k}.{part}": w[f"{mine}.layer_norm{k}.{part}"] for k in (1, 2)}
            state[f"{block}.mlp.c_fc.{part}"] = w[f"{mine}.mlp.fc1.{part}"]
            state[f"{block}.mlp.c_proj.{part}"] = w[f"{mine}.mlp.fc2.{part}"]
    theirs.load_state_dict(state)
    extractor = clip.clip(str(paths["clip"]), "cpu")
    shown = extractor.prepared(LEVELS)
    assert shown.shape == (5, 3, side, side)
    torch.testing.assert_close(extractor.features(LEVELS), theirs(shown), rtol=1e-4, atol=1e-5)
    assert extractor.dimensions == PROJECTED


def test_clip_is_shown_the_square_in_the_middle(files):
    extractor = clip.clip(str(files[0]["clip"]), "cpu")
    torch.testing.assert_close(extractor.prepared(LEVELS), extractor.prepared(LEVELS[..., 5:35]))


@pytest.mark.parametrize("side", [32, 224, 300])
def test_pictures_are_brought_to_size_as_pil_does(side):
    from PIL import Image

    x = torch.nn.functional.interpolate(LEVELS[:1].float(), (side, side), mode="bilinear").to(torch.uint8)
    theirs = Image.fromarray(x[0].permute(1, 2, 0).contiguous().numpy()).resize((224, 224), Image.Resampling.BICUBIC)
    off = (resized(x, 224)[0].permute(1, 2, 0) - torch.from_numpy(np.array(theirs)).float()).abs()
    assert float(off.max()) <= 2
    assert float((off > 0).float().mean()) < 0.01


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_channels_are_standardised_and_grey_is_shown_in_three(name, files):
    extractor = {"dinov2": dinov2.dinov2, "clip": clip.clip}[name](str(files[0][name]), "cpu")
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (extractor.mean, extractor.deviation))
    white = extractor.prepared(torch.full((1, 3, 20, 20), 255, dtype=torch.uint8))
    torch.testing.assert_close(white * deviation + mean, torch.ones_like(white))
    grey = LEVELS[:, :1]
    torch.testing.assert_close(extractor.features(grey), extractor.features(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(DataError, match=r"judges pictures of 1 or 3 channels; found shape \(2, 8, 8\)"):
        extractor.features(torch.zeros(1, 2, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(("metric", "module"), [("fd_dinov2", dinov2), ("cmmd", clip), ("kid", clip)])
def test_missing_weights_name_the_file_and_its_place(metric, module, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    extractor = {dinov2: "dinov2", clip: "clip"}[module]
    with pytest.raises(
        DataError, match=rf"{tmp_path}/checkpoints/{module.FILE} is not there.*downloads nothing.*https://"
    ):
        by_name(metric, extractor=extractor).prepare()


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_another_networks_weights_are_refused(name, files, tmp_path):
    load = {"dinov2": dinov2.dinov2, "clip": clip.clip}[name]
    other = files[0]["clip" if name == "dinov2" else "dinov2"]
    with pytest.raises(DataError, match=r"does not hold the weights of .*https://"):
        load(str(other), "cpu")
    path = tmp_path / "more.pth"
    torch.save(files[1][name] | {"vision_model.more" if name == "clip" else "register_tokens": torch.zeros(3)}, path)
    with pytest.raises(DataError, match=r"does not hold the weights of"):
        load(str(path), "cpu")


def test_weights_may_be_safetensors(files, tmp_path):
    from safetensors.torch import save_file

    save_file(files[1]["dinov2"], tmp_path / "dinov2.safetensors")
    found = dinov2.dinov2(str(tmp_path / "dinov2.safetensors"), "cpu").features(LEVELS)
    assert torch.equal(found, dinov2.dinov2(str(files[0]["dinov2"]), "cpu").features(LEVELS))


def some(x, n=80):
    return x[:n]


@pytest.fixture(scope="module", name="evidence")
def evidence_of_few(tmp_path_factory):
    """Evidence of samples: the digits are the reference, few enough for a test."""
    cache = tmp_path_factory.mktemp("cache")
    data = Pictures(some(REAL))
    return lambda samples: make_evidence(data, some(samples), cache=cache)


def test_fd_dinov2_is_the_frechet_distance_of_its_features(files, evidence):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    path = files[0]["dinov2"]
    metric = by_name("fd_dinov2", weights=str(path))
    extractor = metric.extractor("cpu")
    seen = evidence(NOISE)
    features = [extractor.features(quantise(x)) for x in (some(NOISE), some(REAL))]
    expected = fid_statistics_to_metric(*(fid_features_to_statistics(x.double()) for x in features), verbose=False)
    found = metric.compute(seen)
    assert found["fd_dinov2"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    assert metric.compute(evidence(REAL))["fd_dinov2"] == pytest.approx(0, abs=1e-4 * found["fd_dinov2"])
    identity = metric.identity(seen)
    assert identity["weights"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (identity["extractor"], identity["features"]) == ("dinov2", WIDTH)


def test_cmmd_is_the_kernel_distance_of_embeddings_of_length_one(files, evidence):
    metric = by_name("cmmd", weights=str(files[0]["clip"]))
    extractor = metric.extractor("cpu")
    sets = [extractor.features(quantise(x)).double() for x in (some(NOISE), some(REAL))]
    x, y = ((each / each.square().sum(1, keepdim=True).sqrt()).numpy() for each in sets)

    def kernel(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(2) / 200).mean()

    expected = 1000 * (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
    assert metric.compute(evidence(NOISE))["cmmd"] == pytest.approx(expected, rel=1e-6)
    assert metric.compute(evidence(REAL))["cmmd"] == pytest.approx(0, abs=1e-9)
    assert metric.compute(evidence(REAL))["cmmd"] < metric.compute(evidence(BLURRED))["cmmd"] < expected
    assert metric.identity(evidence(NOISE))["extractor"] == "clip"


def test_cmmd_falls_with_the_number_of_samples_as_it_says(evidence):
    """Draws with replacement from one set have, on average, its own distance and 1000 (1 - mean kernel)/n more."""
    generator, metric = torch.Generator().manual_seed(0), by_name("cmmd", extractor="digits")
    values = []
    for _ in range(60):
        drawn = BLURRED[torch.randint(80, (30,), generator=generator)]
        values.append(metric.compute(evidence(drawn))["cmmd"])
    x = metric.extractor("cpu").features(quantise(some(BLURRED))).double()
    x = x / x.norm(dim=1, keepdim=True)
    kernel = float(torch.exp(torch.cdist(x, x).square() / -200).mean())
    expected = metric.compute(evidence(BLURRED))["cmmd"] + 1000 * (1 - kernel) / 30
    assert np.mean(values) == pytest.approx(expected, abs=3 * np.std(values) / 60**0.5)
    assert 1000 * (1 - kernel) / 30 > 10 * np.std(values) / 60**0.5
