"""The only place that touches ``torch._*`` names: one small function per need.

Tested on torch 2.13.0. Each module says which private names it uses;
``tests/explorer/torch_private`` holds a canary test per name, and ``explorer doctor`` runs the same
checks on another torch.
"""
