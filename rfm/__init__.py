"""Relational foundation models: stores, contexts, the relational transformer, training and prediction."""
