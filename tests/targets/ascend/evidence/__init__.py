"""What `make test-ascend` runs, chip by chip, what came of it, and the page that shows it.

python -m tests.targets.ascend.evidence                            all that has no result yet
python -m tests.targets.ascend.evidence --suite liger --chip 950pr
python -m tests.targets.ascend.evidence --record                   writes results.json and the page
"""
