"""Answers that are given again, exactly or because a question means the same, and embeddings that go out together."""
