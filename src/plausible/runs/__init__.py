"""What a verb does to a whole study: cases in, a folder of results out, continued after a kill."""
