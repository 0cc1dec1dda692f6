"""What a checkpoint calls the tensors of a model."""

import re
from collections.abc import Mapping

#: Names in GGUF files of models built like Llama, by those in transformers.
_LLAMA = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.layers.*.input_layernorm.weight": "blk.*.attn_norm.weight",
    "model.layers.*.self_attn.q_proj.*": "blk.*.attn_q.*",
    "model.layers.*.self_attn.k_proj.*": "blk.*.attn_k.*",
    "model.layers.*.self_attn.v_proj.*": "blk.*.attn_v.*",
    "model.layers.*.self_attn.o_proj.*": "blk.*.attn_output.*",
    "model.layers.*.self_attn.q_norm.weight": "blk.*.attn_q_norm.weight",
    "model.layers.*.self_attn.k_norm.weight": "blk.*.attn_k_norm.weight",
    "model.layers.*.post_attention_layernorm.weight": "blk.*.ffn_norm.weight",
    "model.layers.*.mlp.gate_proj.*": "blk.*.ffn_gate.*",
    "model.layers.*.mlp.up_proj.*": "blk.*.ffn_up.*",
    "model.layers.*.mlp.down_proj.*": "blk.*.ffn_down.*",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
#: Ready maps by the name to ask for them.
FAMILIES: Mapping[str, Mapping[str, str]] = {"llama": _LLAMA}
#: The map of each of GGUF's architectures.
ARCHITECTURES = dict.fromkeys(("llama", "qwen2", "qwen3"), "llama")


def renamed(name: str, names: Mapping[str, str]) -> str | None:
    """What `names` calls a name: the first pattern that fits, every * of which stands for the same text in
    what it maps to; None where none fits."""
    for pattern, wanted in names.items():
        found = re.fullmatch(re.escape(pattern).replace(r"\*", "(.*)"), name)
        if found is not None:
            head, *tails = wanted.split("*")
            texts = [*found.groups(), *["*"] * len(tails)]
            return head + "".join(text + tail for text, tail in zip(texts, tails, strict=False))
    return None
