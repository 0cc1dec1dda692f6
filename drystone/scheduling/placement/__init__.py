"""Placement: offsets in a level for tensors whose lifetimes are known, and the judge of offsets."""
