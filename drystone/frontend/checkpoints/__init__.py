"""Checkpoints: weights that were quantized elsewhere, taken as they are.

    given.opened(checkpoint)      what a model's weights come from, by the model's names
    gguf, blocks                  .gguf files
    folder                        *.safetensors beside a config.json: gptq, awq, compressed, fp8

Every tensor becomes the parts of an encoding: codes, scales and zero points keep their numbers, though they
may lie in another order.
"""

from drystone.frontend.checkpoints.given import Given, opened
from drystone.frontend.checkpoints.held import Held

__all__ = ["Given", "Held", "opened"]
