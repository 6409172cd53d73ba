"""C code for CPUs: one file that is compiled where it runs, around PyTorch's products."""
