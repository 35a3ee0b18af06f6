"""The CPU target: tile IR to native code through LLVM."""
