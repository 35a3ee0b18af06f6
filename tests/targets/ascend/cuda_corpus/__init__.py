"""The programs of tests/frontends/cuda on the simulator, launch by launch.

    python -m tests.targets.ascend.cuda_corpus            # goes on where it stood
    python -m tests.targets.ascend.cuda_corpus --record   # writes docs/reference/ascend-cuda.md

Each program runs whole; its first launches of every kernel and block shape are simulated and
compared with the processor's results, and where these differ with the interpreter's (threads of a
processor add in any order). What is refused, or takes too long, runs on the processor.
"""
