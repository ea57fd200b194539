"""What `pytsn finetune` is told about the tiny videos."""

#: lossless frames under their own names, read by this process
DATA = ("--set=name_pattern=img_%05d.png", "--workers=0", "--device=cpu")
