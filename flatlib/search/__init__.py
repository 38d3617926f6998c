"""Differentiable search (Sec. 4.2, 5.2, A.2, D). More axes: T cell types (normal, reduction), P supernet weights."""
