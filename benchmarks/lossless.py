"""What weights in bf16 take with entropy coded exponents (the format dfloat11), every bit of them kept.

python -m benchmarks.lossless

The matrices of MiniLM, whose weights are rounded to bf16, and of the byte-level language models of
`benchmarks.quality`.
"""

from collections.abc import Iterator

import numpy as np
from torch import nn

from benchmarks.quality import language, sentences
from benchmarks.table import show
from drystone.ir import formats
from drystone.ir.elements import from_bf16, to_bf16
from drystone.ir.encoding import decode, encode


def rows(models: dict[str, nn.Module]) -> Iterator[str]:
    """For each model its bytes in bf16, the bytes they take, and the bits of a weight. Raises AssertionError
    where a bit is lost."""
    for name, model in models.items():
        plain = coded = 0
        for parameter in model.parameters():
            if parameter.dim() < 2:
                continue
            held = to_bf16(parameter.detach().flatten(1).numpy())
            encoding = formats.dfloat11().settled(from_bf16(held))
            parts = encode(held, encoding)
            np.testing.assert_array_equal(decode(parts, encoding, held.shape, "bf16"), held)
            plain, coded = plain + held.nbytes, coded + sum(part.nbytes for part in parts.values())
        bits, less = 16 * coded / plain, 100 * (1 - coded / plain)
        yield f"| {name} | {plain / 1e6:.2f} MB | {coded / 1e6:.2f} MB | {bits:.2f} | {less:.1f} % |"


def main() -> None:
    """Print the table."""
    models: dict[str, nn.Module] = {"MiniLM-L6": sentences.model()}
    models |= {f"byte-level language model {seed}": language.trained(seed) for seed in range(2)}
    head = "| weights | bf16 | dfloat11 | bits | less |\n| --- | --- | --- | --- | --- |\n"
    show(head, rows(models), None)


if __name__ == "__main__":
    main()
