"""Heavy detectors of injected instructions: asked about doubtful text only, in a process of their own."""
