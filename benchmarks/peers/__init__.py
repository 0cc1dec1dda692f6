"""drystone beside its peers: the same weights and inputs, interleaved in one process, on measured peaks."""
