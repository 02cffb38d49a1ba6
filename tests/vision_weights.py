"""Files of small vision transformers with random weights, by the names of DINOv2's file and of transformers' CLIP."""

import torch

WIDTH, DEPTH, HIDDEN, PATCH = 64, 2, 96, 14
GRID = 3
"""Places along a side: DINOv2's are interpolated to 16, and CLIP's pictures are 42 wide."""
PROJECTED = 24


def _drawn(shapes):
    noise = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=noise) * 0.2 for name, shape in shapes.items()}


def _normed(name):
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def _linear(name, to, width):
    return {f"{name}.weight": (to, width), f"{name}.bias": (to,)}


def dinov2_weights(path):
    """Write the file; return its tensors."""
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, GRID**2 + 1, WIDTH),
        "mask_token": (1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        **_normed("norm"),
    }
    for i in range(DEPTH):
        shapes |= _normed(f"blocks.{i}.norm1") | _normed(f"blocks.{i}.norm2")
        shapes |= _linear(f"blocks.{i}.attn.qkv", 3 * WIDTH, WIDTH) | _linear(f"blocks.{i}.attn.proj", WIDTH, WIDTH)
        shapes |= {f"blocks.{i}.ls1.gamma": (WIDTH,), f"blocks.{i}.ls2.gamma": (WIDTH,)}
        shapes |= _linear(f"blocks.{i}.mlp.fc1", HIDDEN, WIDTH) | _linear(f"blocks.{i}.mlp.fc2", WIDTH, HIDDEN)
    weights = _drawn(shapes)
    torch.save(weights, path)
    return weights


def clip_weights(path):
    """Write the file, in which the text's part is as well; return its tensors."""
    hidden = 4 * WIDTH  # as torch-fidelity's has it
    shapes = {
        "logit_scale": (),
        "text_projection.weight": (PROJECTED, 8),
        "text_model.final_layer_norm.weight": (8,),
        "vision_model.embeddings.class_embedding": (WIDTH,),
        "vision_model.embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        "vision_model.embeddings.position_embedding.weight": (GRID**2 + 1, WIDTH),
        **_normed("vision_model.pre_layrnorm"),
        **_normed("vision_model.post_layernorm"),
        "visual_projection.weight": (PROJECTED, WIDTH),
    }
    for i in range(DEPTH):
        block = f"vision_model.encoder.layers.{i}"
        shapes |= _normed(f"{block}.layer_norm1") | _normed(f"{block}.layer_norm2")
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{block}.self_attn.{part}", WIDTH, WIDTH)
        shapes |= _linear(f"{block}.mlp.fc1", hidden, WIDTH) | _linear(f"{block}.mlp.fc2", WIDTH, hidden)
    weights = _drawn(shapes)
    weights["vision_model.embeddings.position_ids"] = torch.arange(GRID**2 + 1)[None]
    torch.save(weights, path)
    return weights
