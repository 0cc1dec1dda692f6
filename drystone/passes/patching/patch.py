"""The pass `patch`: runs of operations are computed piece by piece."""

from dataclasses import dataclass
from typing import ClassVar

from drystone.ir.features import feature_forms
from drystone.ir.pieces import Span
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.ir.windows import computing, forms_of
from drystone.passes.patching.patch_features import FeaturePieces
from drystone.passes.patching.patch_rows import RowPieces
from drystone.passes.rewriting import erase_dead
from drystone.passes.weights import drop_unused


@dataclass(frozen=True)
class Patch:
    """Compute spans of operations piece by piece, so that what lies between them is never there as a whole
    (patch-by-patch inference, MCUNetV2: Lin et al. 2021; for features, pieces of tensors and weights are
    those of Megatron-LM, Shoeybi et al. 2019, one after the other).

    Before:  %y = "dry.conv"(%x, %w) : 8x8 ; %z = "dry.conv"(%y, %v) : 8x8      (a span, in 2 x 1 pieces)
    After:   %x1 = slice(%x)[0:6] ; %y1 = "dry.conv"(%x1, %w) ; %z1 = "dry.conv"(%y1, %v) : 4x8
             %x2 = slice(%x)[2:8] ; %y2 = "dry.conv"(%x2, %w) ; %z2 = "dry.conv"(%y2, %v) : 4x8
             %a = insert(%z1, empty)[0:4] ; %z = insert(%z2, %a)[4:8]

    Before:  %h = "dry.matmul"(%x, %up) : 4x64 ; %y = "dry.matmul"(%h, %down) : 4x8   (a span, in 2 features)
    After:   %h1 = "dry.matmul"(%x, %up1) : 4x32 ; %a = "dry.matmul"(%h1, %down1) : 4x8
             %h2 = "dry.matmul"(%x, %up2) : 4x32 ; %y = "dry.matmul"(%h2, %down2) {+ %a} : 4x8

    - Each operation of a span takes the part of its operands that its part of the result reads; padding
      stays where the part touches the edge.
    - What two pieces have in common is computed twice or, with a `kept` grid, copied from one to the next.
    - A span that ends in an average over whole images adds up the averages of its pieces.
    - Parts of weights, of some of the features, are weights of their own; the whole is not stored. One that
      ends in a product of these features adds up the products, each in the epilogue of the next one; its own
      epilogue comes once, last.
    - Places of slices and insertions are operands, so that pieces of equal form share their kernels.
    """

    spans: tuple[Span, ...] = ()
    name: ClassVar[str] = "patch"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        found = computing(program)
        rows, features = forms_of(found), feature_forms(found)
        for span in self.spans:
            if span.features:
                FeaturePieces(program, found, features, span).rewrite()
            else:
                RowPieces(found, rows, span).rewrite()
        if self.spans:
            erase_dead(main_block(program))
            drop_unused(program)
