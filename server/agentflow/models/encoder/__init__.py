"""The embedded sentence encoder: `encoder()` opens it, and nothing is read before."""

from agentflow.models.encoder.encoder import Encoder, Nearest, Vector, encoder, vector

__all__ = ["Encoder", "Nearest", "Vector", "encoder", "vector"]
