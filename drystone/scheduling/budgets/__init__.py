"""Budgets: what a program may take, met or refused with the least that would do; curves over many of them."""
