"""Rows of features, the network that reads them and the places it gives (paper, section 3.3); knows data alone.

Other rooms take the modules named below.
"""

from cmlfast.features.network import FeatureMLP
from cmlfast.features.rows import Features

__all__ = ["FeatureMLP", "Features", "encoder", "network", "rows", "tags", "telling"]
