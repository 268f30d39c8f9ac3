"""The constructions of English by which a question says what to compute with what it looks up."""
