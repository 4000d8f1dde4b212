"""What a model answers, stage by stage, and how that is shown."""
