"""Runs training loops in two processes each, as torchrun starts them, and writes what each process read.

python two_processes.py EXAMPLES OUT: OUT/CASE-RANK.json is what the case returned in that process. The frameworks are imported
once, and the processes forked, because the imports take longer than all else.
"""

import json
import os
import socket
import sys
from pathlib import Path

import lightning as L
import torch
from accelerate import Accelerator
from torch.multiprocessing import start_processes
from torch.utils.data import DataLoader, TensorDataset

from balanced_mixup import UsageError, class_sampler, instance_sampler
from balanced_mixup.mixing import loader

sys.path.insert(0, sys.argv[1])
import accelerate_ddp
import lightning_ddp
import plain_ddp

LABELS = torch.tensor([0] * 15 + [1] * 6 + [2] * 2)
NUMBERED = TensorDataset(torch.arange(len(LABELS)))


def pairs_of(main):
    """Return what an example returns, and the (row, partner row, weight) that it read, in their order."""
    read, get = [], loader._Pairs.__getitem__
    loader._Pairs.__getitem__ = lambda pairs, index: (read.append(index), get(pairs, index))[1]
    return {"losses": main(), "read": read}


class Reader(L.LightningModule):
    """Keeps the rows that it gets."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.rows = []

    def training_step(self, batch, batch_idx):
        self.rows.append(batch[0].tolist())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def samplers_in_lightning():
    """Return the batches that Lightning makes by each sampler in two epochs."""
    seen = {}
    for name, sampler in (("instance", instance_sampler(len(LABELS))), ("class", class_sampler(LABELS))):
        reader = Reader()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = L.Trainer(max_epochs=2, accelerator="cpu", devices=2, strategy="ddp", **quiet)
        trainer.fit(reader, DataLoader(NUMBERED, batch_size=4, sampler=sampler))
        seen[name] = reader.rows
    return seen


def samplers_in_accelerate():
    """Return the batches of a prepared loader in two epochs, and what is said where the ranks are not given."""
    accelerator = Accelerator()
    sampler = instance_sampler(len(LABELS), rank=0, world_size=1)
    prepared = accelerator.prepare(DataLoader(NUMBERED, batch_size=4, sampler=sampler, drop_last=True))
    seen = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        seen += [batch[0].tolist() for batch in prepared]
    try:
        next(iter(accelerator.prepare(DataLoader(NUMBERED, batch_size=4, sampler=instance_sampler(len(LABELS))))))
    except UsageError as error:
        return {"batches": seen, "refused": str(error)}


CASES = {
    "plain": lambda: pairs_of(plain_ddp.main),
    "lightning": lambda: pairs_of(lightning_ddp.main),
    "accelerate": lambda: pairs_of(accelerate_ddp.main),
    "samplers-lightning": samplers_in_lightning,
    "samplers-accelerate": samplers_in_accelerate,
}


def process(rank, case, port):
    """Be one of the two processes that torchrun would start."""
    own = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test", "ACCELERATE_USE_CPU": "true"}
    os.environ.update({name: str(value) for name, value in (own | address).items()})
    Path(sys.argv[2], f"{case}-{rank}.json").write_text(json.dumps(CASES[case]()))


if __name__ == "__main__":
    for case in CASES:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        start_processes(process, (case, port), nprocs=2, start_method="fork")
