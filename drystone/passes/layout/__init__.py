"""In what order numbers lie: weights as kernels read them, images with channels last."""
