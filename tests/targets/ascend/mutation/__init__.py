"""Mutants of NPU programs: what the simulator must report, decided without it.

launches    programs of real kernels, with what they were launched on
reference   a slow happens-before closure over the trace of a run
mutants     the changes, and which of them count
run         all of it, and the table in docs/ascend.md
"""
