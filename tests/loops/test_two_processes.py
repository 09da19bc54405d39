"""In two processes, plain DDP, Lightning and Accelerate see the batches of a single process, no sample twice."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
import torch

from balanced_mixup import BalancedMixUpLoader, UsageError, class_sampler, instance_sampler

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "loops"
LABELS = [0] * 15 + [1] * 6 + [2] * 2  # as in two_processes.py


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory):
    """Function from a case of two_processes.py to what it returned in each of the two processes."""
    pytest.importorskip("accelerate", reason="without accelerate, which `make install` installs for the tests")
    out = tmp_path_factory.mktemp("ranks")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST"))}
    script = Path(__file__).with_name("two_processes.py")
    done = subprocess.run(
        [sys.executable, script, EXAMPLES, out],
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        cwd=out,
    )
    assert done.returncode == 0, done.stderr
    return lambda case: [json.loads((out / f"{case}-{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import plain_ddp

    return plain_ddp


@pytest.mark.parametrize("case", ["plain", "lightning", "accelerate"])
def test_the_processes_see_the_batches_of_one(case, of_ranks, example):
    ranks = of_ranks(case)
    images, labels = example.synthetic_images()
    single = BalancedMixUpLoader(example.TensorDataset(images, labels), labels, batch_size=20, alpha=0.2)
    for epoch in range(3):
        batches = [[list(pair) for pair in batch] for batch in single.set_epoch(epoch).sampler]
        read = [rank["read"][epoch * 100 : (epoch + 1) * 100] for rank in ranks]
        for rank in range(2):
            assert read[rank] == [pair for batch in batches for pair in batch[rank::2]]
        assert sorted(row for row, _, _ in chain(*read)) == list(range(200))
    assert all(len(rank["read"]) == 300 and rank["losses"][-1] < rank["losses"][0] for rank in ranks)


def test_two_processes_train_what_one_process_trains(of_ranks, example):
    losses = torch.tensor([rank["losses"] for rank in of_ranks("plain")])
    assert losses.mean(0).tolist() == pytest.approx(example.main(batch_size=20), rel=1e-4)
    assert losses[0].tolist() != losses[1].tolist()


@pytest.mark.parametrize("kind", ["instance", "class"])
def test_lightning_does_not_divide_a_sampler_again(kind, of_ranks):
    ranks = of_ranks("samplers-lightning")
    sampler = instance_sampler(23) if kind == "instance" else class_sampler(LABELS)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        whole = list(sampler)[:22]
        for rank in range(2):
            batches = ranks[rank][kind][epoch * 3 : (epoch + 1) * 3]
            assert list(map(len, batches)) == [4, 4, 3]
            assert list(chain(*batches)) == whole[rank::2]


def test_accelerate_divides_a_sampler_of_all_samples(of_ranks):
    ranks = of_ranks("samplers-accelerate")
    sampler = instance_sampler(23)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        steps = zip(*(rank["batches"][epoch * 2 : (epoch + 1) * 2] for rank in ranks), strict=True)
        whole = list(sampler)
        assert [Counter(first + second) for first, second in steps] == [Counter(whole[:8]), Counter(whole[8:16])]


def test_a_sampler_under_accelerate_asks_who_divides(of_ranks):
    for rank in of_ranks("samplers-accelerate"):
        assert rank["refused"].startswith("Expected `rank` and `world_size` of a sampler under Accelerate in 2 processes")
        assert "Give 0 and 1 if its DataLoader goes through `accelerator.prepare`, which divides the batches" in rank["refused"]


@pytest.mark.parametrize("use", [len, list])
def test_processes_without_a_process_group_are_refused(use, monkeypatch):
    loader = BalancedMixUpLoader(torch.utils.data.TensorDataset(torch.zeros(23), torch.tensor(LABELS)), LABELS)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for each in (loader, class_sampler(LABELS)):
        with pytest.raises(UsageError, match=r"a launcher started 2 processes \(WORLD_SIZE\), but torch.distributed is not"):
            use(each)
    assert use(class_sampler(LABELS, rank=0, world_size=1))
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert use(loader)


@pytest.mark.parametrize("ranks", [{"rank": 1}, {"world_size": 2}])
def test_rank_and_number_of_processes_are_given_together(ranks):
    with pytest.raises(UsageError, match="Expected both `rank` and `world_size`, or neither, but got"):
        instance_sampler(23, **ranks)
