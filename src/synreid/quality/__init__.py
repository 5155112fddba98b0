"""How good, how varied and how safe made pictures are.

Distances between distributions (Fréchet, kernel), precision, recall, density, coverage, the number of different
looks, and how well a small classifier tells made pictures from real ones. It takes pictures or features of them,
never generators: whatever made the pictures is measured alike. Pretrained networks that turn pictures into
features live in `features/`.
"""
