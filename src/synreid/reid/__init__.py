"""Person re-identification: networks, their training, embedding, ranking and evaluation.

Here live the options, the batches, the training loop, the embedder, the ranking by Market-1501's protocol (CMC, mAP,
mINP), re-ranking, multi-query features, intervals and breakdowns, search in an index, the model as an ONNX file, and
the door for a user's own training command. Where identities come from is the label room's business, whether an
augmented arm won is the study room's; nothing here knows how a made picture was made.
"""
