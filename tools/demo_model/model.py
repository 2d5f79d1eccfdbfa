"""Qwen3-MoE in PyTorch, forward and backward, with the published names and configuration.

Shapes: B windows of T tokens, N = B·T rows, H hidden, E experts of which k work on a token.
"""
import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UserError(Exception):
    """Something the user can put right; printed without a traceback."""


@dataclass(frozen=True)
class ModelConfiguration:
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    experts: int
    top_k: int
    expert_inner: int
    rope_theta: float
    norm_eps: float
    tied: bool
    max_positions: int

    def check(self):
        for name, value in dataclasses.asdict(self).items():
            if name != "tied" and not value > 0:
                raise UserError(f"--{name.replace('_', '-')} is {value}; it must be positive")
        if self.heads % self.kv_heads:
            raise UserError(f"--heads {self.heads} is not a multiple of --kv-heads {self.kv_heads}")
        if self.head_dim % 2:
            raise UserError(f"--head-dim {self.head_dim} is odd; RoPE rotates pairs")
        if self.top_k > self.experts:
            raise UserError(f"--top-k {self.top_k} is more than --experts {self.experts}")

    def published(self, balance_weight: float, eos: int) -> dict:
        """The configuration as published Qwen3-MoE checkpoints spell it."""
        return {
            "architectures": ["Qwen3MoeForCausalLM"],
            "model_type": "qwen3_moe",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": None,
            "decoder_sparse_step": 1,
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "initializer_range": 0.02,
            "intermediate_size": 2 * self.hidden,
            "max_position_embeddings": self.max_positions,
            "max_window_layers": self.layers,
            "mlp_only_layers": [],
            "moe_intermediate_size": self.expert_inner,
            "norm_topk_prob": True,
            "num_attention_heads": self.heads,
            "num_experts": self.experts,
            "num_experts_per_tok": self.top_k,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "output_router_logits": False,
            "rms_norm_eps": self.norm_eps,
            "rope_scaling": None,
            "rope_theta": self.rope_theta,
            "router_aux_loss_coef": balance_weight,
            "sliding_window": None,
            "tie_word_embeddings": self.tied,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": self.vocabulary,
        }

    @staticmethod
    def from_published(config: dict) -> "ModelConfiguration":
        refused = [
            key
            for key, plain in {
                "model_type": "qwen3_moe",
                "attention_bias": False,
                "decoder_sparse_step": 1,
                "mlp_only_layers": [],
                "norm_topk_prob": True,
                "rope_scaling": None,
            }.items()
            if config.get(key, plain) != plain
        ]
        if refused:
            raise UserError(f"config.json: {', '.join(refused)} is not what this program trains")
        try:
            return ModelConfiguration(
                vocabulary=config["vocab_size"],
                hidden=config["hidden_size"],
                layers=config["num_hidden_layers"],
                heads=config["num_attention_heads"],
                kv_heads=config["num_key_value_heads"],
                head_dim=config["head_dim"],
                experts=config["num_experts"],
                top_k=config["num_experts_per_tok"],
                expert_inner=config["moe_intermediate_size"],
                rope_theta=config["rope_theta"],
                norm_eps=config["rms_norm_eps"],
                tied=config.get("tie_word_embeddings", False),
                max_positions=config["max_position_embeddings"],
            )
        except KeyError as missing:
            raise UserError(f"config.json: {missing} is missing") from None


class RMSNorm(nn.Module):
    """x · w / √(mean x² + ε), in float32."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps))


class Linear(nn.Module):
    """x Wᵀ without bias. Weights are kept in float32 and multiplied in `precision`."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: Tensor, precision: torch.dtype) -> Tensor:
        return F.linear(x.to(precision), self.weight.to(precision))


def rotary_tables(positions: int, head_dim: int, theta: float, device) -> tuple[Tensor, Tensor]:
    """cos and sin [T, head_dim] of position · θ^(−2i/head_dim), repeated for both halves of a head."""
    exponent = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim
    angle = torch.outer(torch.arange(positions, device=device, dtype=torch.float32), theta**-exponent)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on [B, heads, T, head_dim]: element i is paired with element i + head_dim/2."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query attention with an RMSNorm on every query and key head."""

    def __init__(self, c: ModelConfiguration):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = c.heads, c.kv_heads, c.head_dim
        self.q_proj = Linear(c.hidden, c.heads * c.head_dim)
        self.k_proj = Linear(c.hidden, c.kv_heads * c.head_dim)
        self.v_proj = Linear(c.hidden, c.kv_heads * c.head_dim)
        self.o_proj = Linear(c.heads * c.head_dim, c.hidden)
        self.q_norm = RMSNorm(c.head_dim, c.norm_eps)
        self.k_norm = RMSNorm(c.head_dim, c.norm_eps)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], precision: torch.dtype) -> Tensor:
        B, T, _ = x.shape
        q = self.q_proj(x, precision).view(B, T, self.heads, self.head_dim)
        k = self.k_proj(x, precision).view(B, T, self.kv_heads, self.head_dim)
        v = self.v_proj(x, precision).view(B, T, self.kv_heads, self.head_dim).transpose(1, 2)
        q = rotate(self.q_norm(q).transpose(1, 2), *rotary).to(precision)
        k = rotate(self.k_norm(k).transpose(1, 2), *rotary).to(precision)
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1), precision)


class Experts(nn.Module):
    """Router and experts: softmax over all experts, the best k, their weights normalized to sum 1.

    Rows are sorted by expert, so that each expert is one dense product over exactly its rows:
    nothing is padded and nothing is dropped.
    """

    def __init__(self, c: ModelConfiguration):
        super().__init__()
        self.count, self.top_k = c.experts, c.top_k
        self.gate = Linear(c.hidden, c.experts)
        self.gate_up = nn.Parameter(torch.empty(c.experts, 2 * c.expert_inner, c.hidden))
        self.down = nn.Parameter(torch.empty(c.experts, c.hidden, c.expert_inner))

    def forward(self, x: Tensor, precision: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """[N, H] → [N, H], the load-balancing loss and the router's z-loss of this layer."""
        router_logits = self.gate(x, torch.float32)
        probability = router_logits.softmax(-1)
        weight, chosen = probability.topk(self.top_k, dim=-1)
        weight = weight / weight.sum(-1, keepdim=True)

        # Row r of the sorted order serves token order[r] // k.
        expert_of_row, order = chosen.flatten().sort(stable=True)
        rows_per_expert = torch.bincount(expert_of_row, minlength=self.count)
        parts = x.to(precision).index_select(0, order // self.top_k).split(rows_per_expert.tolist())
        # unbind, not indexing: the gradient of one index would be a zero tensor of all experts.
        gate_up, down = self.gate_up.to(precision).unbind(0), self.down.to(precision).unbind(0)
        results = []
        for rows, w_in, w_out in zip(parts, gate_up, down):
            gate, up = F.linear(rows, w_in).chunk(2, dim=-1)
            results.append(F.linear(F.silu(gate) * up, w_out))
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        y = torch.cat(results).index_select(0, back).view(-1, self.top_k, x.shape[-1])
        y = (y.float() * weight.unsqueeze(-1)).sum(1)

        # Load balancing as in Switch Transformers: E · Σ (share of tokens · mean probability),
        # which is k when every expert is used equally.
        share = rows_per_expert.float() / x.shape[0]
        balance = self.count * (share * probability.mean(0)).sum()
        z_loss = router_logits.logsumexp(-1).square().mean()
        return y, balance, z_loss


class Block(nn.Module):
    def __init__(self, c: ModelConfiguration):
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden, c.norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(c.hidden, c.norm_eps)
        self.mlp = Experts(c)

    def forward(self, x: Tensor, rotary, precision: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        x = x + self.self_attn(self.input_layernorm(x), rotary, precision)
        rows = self.post_attention_layernorm(x).flatten(0, 1)
        y, balance, z_loss = self.mlp(rows, precision)
        return x + y.view_as(x), balance, z_loss


class QwenMoE(nn.Module):
    """The residual stream, the norms and the router are float32; other products are in `precision`."""

    def __init__(self, c: ModelConfiguration):
        super().__init__()
        self.configuration = c
        self.embed_tokens = nn.Parameter(torch.empty(c.vocabulary, c.hidden))
        self.layers = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = RMSNorm(c.hidden, c.norm_eps)
        self.lm_head = None if c.tied else Linear(c.hidden, c.vocabulary)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator):
        """Normal, σ 0.02; products that write to the residual stream are smaller by √(2·layers)."""
        for name, p in self.named_parameters():
            if p.dim() > 1:
                writes_residual = name.endswith(("o_proj.weight", "mlp.down"))
                scale = math.sqrt(2 * self.configuration.layers) if writes_residual else 1.0
                p.copy_(torch.randn(p.shape, generator=generator) * (0.02 / scale))

    def forward(self, ids: Tensor, precision: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """ids [B, T] → logits [B, T, V], mean load-balancing loss and mean z-loss over layers."""
        c = self.configuration
        rotary = rotary_tables(ids.shape[1], c.head_dim, c.rope_theta, ids.device)
        x = F.embedding(ids, self.embed_tokens).float()
        balances, z_losses = [], []
        for layer in self.layers:
            x, balance, z_loss = layer(x, rotary, precision)
            balances.append(balance)
            z_losses.append(z_loss)
        x = self.norm(x).to(precision)
        head = self.embed_tokens if self.lm_head is None else self.lm_head.weight
        logits = F.linear(x, head.to(precision)).float()
        return logits, torch.stack(balances).mean(), torch.stack(z_losses).mean()

    def published_tensors(self) -> dict[str, Tensor]:
        """bf16 tensors under the published names, one tensor an expert and matrix."""
        tensors = {}
        for name, value in self.state_dict().items():
            value = value.detach().to("cpu", torch.bfloat16)
            if name.endswith(".mlp.gate_up"):
                for e, both in enumerate(value):
                    gate, up = both.chunk(2)
                    prefix = f"model.{name.removesuffix('gate_up')}experts.{e}."
                    tensors[prefix + "gate_proj.weight"] = gate.clone()
                    tensors[prefix + "up_proj.weight"] = up.clone()
            elif name.endswith(".mlp.down"):
                for e, matrix in enumerate(value):
                    prefix = f"model.{name.removesuffix('down')}experts.{e}."
                    tensors[prefix + "down_proj.weight"] = matrix.clone()
            elif name == "embed_tokens":
                tensors["model.embed_tokens.weight"] = value
            else:
                tensors[name if name.startswith("lm_head.") else "model." + name] = value
        return tensors

    @torch.no_grad()
    def load_published(self, tensors: dict[str, Tensor]):
        unread = set(tensors)

        def take(name: str) -> Tensor:
            if name not in tensors:
                raise UserError(f"the checkpoint lacks the tensor {name}")
            unread.discard(name)
            return tensors[name]

        for name, p in self.state_dict().items():
            if name.endswith((".mlp.gate_up", ".mlp.down")):
                block = "model." + name.rsplit(".", 1)[0]
                kinds = ["gate_proj", "up_proj"] if name.endswith("gate_up") else ["down_proj"]
                value = torch.stack([
                    torch.cat([take(f"{block}.experts.{e}.{kind}.weight") for kind in kinds])
                    for e in range(self.configuration.experts)
                ])
            elif name == "embed_tokens":
                value = take("model.embed_tokens.weight")
            else:
                value = take(name if name.startswith("lm_head.") else "model." + name)
            if value.shape != p.shape:
                raise UserError(f"{name} is {list(value.shape)}, config.json asks for {list(p.shape)}")
            p.copy_(value)
        if unread:
            raise UserError(f"the checkpoint has {len(unread)} tensors too many, such as {sorted(unread)[0]}")
