"""What everything means: the dialect, encodings of tensors, the verifier and the interpreter."""
