"""Decoders of Llama's kind beside llama.cpp, on the same weights."""
