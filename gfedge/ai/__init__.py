"""AI jobs: prompts to pictures and small pictures to large ones, queued, run, recorded and traced."""
