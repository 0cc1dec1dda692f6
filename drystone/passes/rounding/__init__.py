"""Methods of post-training quantization: which codes and scales a weight gets, given what calibration showed.

They take arrays and encodings and know nothing of programs. The measure of all is the squared error of a
layer's outputs, tr((W - Q) H (W - Q)^T) with H the sum of x^T x over the calibration's rows.
"""

from drystone.passes.rounding.methods import Method, is_stepwise
from drystone.passes.rounding.scaling import Member, scaled
from drystone.passes.rounding.seen import Seen, output_error

__all__ = ["Member", "Method", "Seen", "is_stepwise", "output_error", "scaled"]
