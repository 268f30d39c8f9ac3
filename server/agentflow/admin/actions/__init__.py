"""One module per noun: what can be seen and done, for the REST interface and the page alike."""
