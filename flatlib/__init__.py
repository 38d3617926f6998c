"""flatlib: a research workbook for neighborhood-aware neural architecture search.

Axes, everywhere: A architectures, E edges, O operations (m in the paper), N neighbors, S seeds,
B batch, C channels. In a table's values the last axis counts epochs. Accuracy and error are percent.
"""

__version__ = "0.1.0"
