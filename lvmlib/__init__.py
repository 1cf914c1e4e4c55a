"""Latent variable models: exact models, importance weights, evidence estimates and bounds."""
