"""What a trial is: its config, data, model, training loop and latency. Imports no Torch."""
