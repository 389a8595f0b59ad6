# SPDX-License-Identifier: Apache-2.0
"""The NumPy interface. Run by as many ranks as there are: ronderun -np N python3 -m pytest."""

import numpy as np
import pytest

import ronde
from ronde.common.exceptions import HorovodInternalError

REDUCED = "uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 float32 float64".split()


@pytest.fixture(autouse=True)
def life():
    ronde.init()
    ronde.barrier()  # else a rank might end, in its test, the life that another is about to find
    yield
    ronde.barrier()


@pytest.mark.parametrize("dtype", REDUCED)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (70000,)])
def test_sum_min_max(dtype, shape):
    mine = np.full(shape, ronde.rank() + 1, dtype)
    n = ronde.size()
    for op, expected in ((ronde.Sum, n * (n + 1) // 2), (ronde.Min, 1), (ronde.Max, n)):
        result = ronde.allreduce(mine, op=op)
        assert result.dtype == mine.dtype and result.shape == mine.shape
        assert np.array_equal(result, np.full(shape, expected, dtype))
    assert np.array_equal(mine, np.full(shape, ronde.rank() + 1, dtype))


def test_average_is_the_default():
    result = ronde.allreduce(np.float64([ronde.rank()]))
    assert result[0] == (ronde.size() - 1) / 2


def test_disagreement_names_the_ranks_and_harms_nothing():
    mine = np.zeros(3 if ronde.rank() == 0 else 4, np.float32)
    if ronde.size() > 1:
        with pytest.raises(HorovodInternalError, match=r"layer.*rank 0"):
            ronde.allreduce(mine, name="layer")
    assert ronde.allreduce(np.ones(2, np.float32), op=ronde.Sum)[0] == ronde.size()


def test_mistakes_are_value_errors():
    with pytest.raises(ValueError, match="complex64"):
        ronde.allreduce(np.zeros(2, np.complex64))
    with pytest.raises(ValueError, match="not in flight"):
        ronde.poll(4711)
    with pytest.raises(ValueError, match="reduction"):
        ronde.allreduce(np.zeros(2), op=77)


def test_lives():
    for _ in range(12):
        ronde.shutdown()
        assert not ronde.is_initialized()
        with pytest.raises(ValueError, match="init"):
            ronde.rank()
        ronde.init()
        assert ronde.allreduce(np.int64([1]), op=ronde.Sum)[0] == ronde.size()
