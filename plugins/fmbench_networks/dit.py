"""The diffusion transformer, from the library diffusers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge
from torch import nn

from fmbench import Network
from fmbench_networks._conditions import VectorEmbedding, conditions
from fmbench_networks._diffusers import TIMESTEPS, need_diffusers
from fmbench_networks._images import image_shape, pad, round_up

if TYPE_CHECKING:
    from torch import Tensor


class DiT(Network):
    """The diffusion transformer: attention over patches; time and condition scale, shift and gate blocks (adaLN-Zero).

    It is diffusers' DiTTransformer2DModel with three differences, which bring it back to the paper: the embeddings of
    time and label are shared by all blocks (the library has a copy a block), the initial weights are the paper's (each
    block starts as the identity, the output at zero), and labels are dropped by fmbench alone. The output has the
    channels of the image: there is no learnt variance. Images are padded with zeros below and on the right to a square
    of whole patches, and the result is cropped. The paper's sizes have (depth, width, heads): S (12, 384, 6),
    B (12, 768, 12), L (24, 1024, 16), XL (28, 1152, 16). Needs `pip install 'fmbench[networks]'`.

    Args:
        patch: pixels of a patch in height and width.
        width: numbers that represent a patch; a multiple of 4, for the sine and cosine of its place, and of `heads`.
        depth: number of transformer blocks.
        heads: attention heads of each block.
    """

    reference = "Peebles & Xie 2023, section 3.2 and table 1 (DiT, adaLN-Zero); diffusers.DiTTransformer2DModel"
    requires = ("images",)
    takes = ("labels", "vectors")
    bf16 = True

    def __init__(
        self,
        *,
        patch: Annotated[int, Ge(1)] = 2,
        width: Annotated[int, Ge(4)] = 128,
        depth: Annotated[int, Ge(1)] = 4,
        heads: Annotated[int, Ge(1)] = 4,
    ) -> None:
        need_diffusers("dit")
        if width % 4 or width % heads:
            raise ValueError(f"width must be a multiple of 4 and of heads; found width {width} and heads {heads}")
        self.patch = patch
        self.width = width
        self.depth = depth
        self.heads = heads

    def build(self, shape: tuple[int, ...], classes: int, condition_width: int = 0) -> nn.Module:
        """Return a module for images `(channels, height, width)` of any size."""
        from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

        colours, height, width = image_shape("dit", shape)
        side = round_up(max(height, width), self.patch)
        model = DiTTransformer2DModel(
            sample_size=side,
            in_channels=colours,
            out_channels=colours,
            patch_size=self.patch,
            num_layers=self.depth,
            num_attention_heads=self.heads,
            attention_head_dim=self.width // self.heads,
            num_embeds_ada_norm=classes,  # the library adds a row for "no label", which is all there is without classes
            norm_eps=1e-6,
        )
        _initialize(model)
        _share_embedding(model)
        if condition_width:
            model.transformer_blocks[0].norm1.emb.class_embedder = VectorEmbedding(condition_width, self.width)
        return _Timed(model, side, classes, condition_width)


class _Timed(nn.Module):
    """Calls the library's model with fmbench's times and conditions, on padded images."""

    def __init__(self, model: nn.Module, side: int, classes: int, condition_width: int) -> None:
        super().__init__()
        self.model = model
        self.side = side
        self.classes, self.condition_width = classes, condition_width

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        y = conditions(y, t, self.classes, self.condition_width)
        output: Tensor = self.model(pad(x, self.side, self.side), TIMESTEPS * t, y, return_dict=False)[0]
        return output[..., : x.shape[-2], : x.shape[-1]]


class _Borrowed(nn.Module):
    """Computes what its lender computes, and has no weights: they would be saved, and averaged, once a block."""

    def __init__(self, lender: nn.Module) -> None:
        super().__init__()
        self._lender = (lender,)  # in a tuple, where torch does not look for submodules

    def forward(self, *args: Any, **options: Any) -> Any:
        return self._lender[0](*args, **options)


def _share_embedding(model: Any) -> None:
    """Let all blocks use the first one's embedding of time and label, which never drops a label by itself."""
    first, *others = model.transformer_blocks
    first.norm1.emb.class_embedder.dropout_prob = 0.0
    for block in others:
        block.norm1.emb = _Borrowed(first.norm1.emb)


def _initialize(model: Any) -> None:
    """Set the initial weights of the paper's code; the library leaves torch's, since it only loads trained models."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(model.pos_embed.proj.weight.data.flatten(1))
    nn.init.zeros_(model.pos_embed.proj.bias)
    embedding = model.transformer_blocks[0].norm1.emb
    time = embedding.timestep_embedder
    for weight in (embedding.class_embedder.embedding_table.weight, time.linear_1.weight, time.linear_2.weight):
        nn.init.normal_(weight, std=0.02)
    for layer in [*(block.norm1.linear for block in model.transformer_blocks), model.proj_out_1, model.proj_out_2]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
