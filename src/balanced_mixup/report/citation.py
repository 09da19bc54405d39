"""How to cite the paper."""

CITATION = (
    "Galdran A., Carneiro G., González Ballester M. A. (2021): Balanced-MixUp for Highly Imbalanced Medical Image "
    "Classification. MICCAI 2021, LNCS 12905, pp. 323-333."
)
