! SPDX-License-Identifier: Apache-2.0
! The Fortran module: every operation for every kind, texts, errors and the optimizer. One rank of
! any number; started by tests/checks/fortran.sh.
module quadratic
  use, intrinsic :: iso_c_binding
  use ronde
  implicit none

  type, extends(ronde_updater) :: descent
    real(c_double) :: weights(4) = 0, gradient(4) = 0
    integer :: calls = 0, status = 0
  contains
    procedure :: update
  end type
contains
  subroutine update(self, status)
    class(descent), intent(inout) :: self
    integer, intent(out) :: status
    self%weights = self%weights - self%gradient
    self%calls = self%calls + 1
    status = self%status
  end subroutine
end module

program operations
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use quadratic
  implicit none
  integer :: rank, ranks, failures = 0

  call before_init()
  call ronde_init(["lanes         ", "4             ", "cache_capacity", "16            "])
  rank = ronde_rank()
  ranks = ronde_size()
  call world()
  call try_int8()
  call try_int16()
  call try_int32()
  call try_int64()
  call try_real32()
  call try_real64()
  call try_bool()
  call options()
  call process_sets()
  call groups()
  call gathered_groups()
  call texts()
  call optimizer()
  call ronde_shutdown()
  call expect(.not. ronde_is_initialized(), "shutdown")
  if (failures > 0) error stop 1

contains

  subroutine expect(true, what)
    logical, intent(in) :: true
    character(*), intent(in) :: what
    if (true) return
    failures = failures + 1
    print "(a, i0, 3a)", "rank ", rank, ": ", what, " is wrong; "//ronde_error_message()
  end subroutine

  subroutine before_init()
    integer :: status
    rank = -1
    call expect(.not. ronde_is_initialized() .and. ronde_rank() == RONDE_ERR_NOT_INITIALIZED, "before")
    call ronde_barrier(status)
    call expect(status == RONDE_ERR_NOT_INITIALIZED .and. &
      index(ronde_error_message(), "ronde_init()") > 0, "barrier before init")
    call ronde_init(["no_such_setting", "1              "], status)
    call expect(status == RONDE_ERR_CONFIGURATION .and. &
      index(ronde_error_message(), '"no_such_setting"') > 0, "unknown setting")
    call expect(ronde_status_name(status) == "RONDE_ERR_CONFIGURATION", "status name")
    call expect(ronde_status_text(status) == "invalid configuration", "status text")
    call expect(len(ronde_version()) >= 5, "version")
  end subroutine

  subroutine world()
    type(ronde_handle) :: handle
    type(c_counters) :: counters
    logical :: done
    integer(c_int) :: last
    call expect(ronde_is_initialized() .and. ronde_is_homogeneous(), "world")
    call expect(ronde_local_rank() == rank .and. ronde_local_size() == ranks, "local")
    call expect(ronde_cross_rank() == 0 .and. ronde_cross_size() == 1, "cross")
    call ronde_barrier()
    call ronde_barrier_async(handle)
    done = .false.
    do while (.not. done)
      done = ronde_test(handle)
    end do
    call ronde_wait(handle)
    call ronde_get_counters(counters)
    call expect(counters%submitted == 2 .and. counters%completed == 2, "counters")
    call ronde_join()
    call ronde_join(last)
    call expect(last >= 0 .and. last < ronde_size(), "last to join")
  end subroutine

  subroutine options()
    real(c_double), target :: x(2), y(2, 1), rest(1:0)
    integer :: status
    x = 3
    call ronde_allreduce("", x, RONDE_SUM, prescale=2.0_c_double, postscale=0.5_c_double)
    call expect(all(abs(x - 3*ranks) < 1e-12), "scales")
    call ronde_allreduce("set", x, RONDE_SUM, process_set=77, status=status)
    call expect(status < 0, "unknown process set")
    call ronde_allreduce("nothing", rest, RONDE_SUM)
    if (ranks == 1) return
    if (rank == 0) call ronde_allreduce("shapes", y, RONDE_SUM, status=status)
    if (rank /= 0) call ronde_allreduce("shapes", x, RONDE_SUM, status=status)
    call expect(status == RONDE_ERR_MISMATCH .and. index(ronde_error_message(), "[1,2]") > 0 &
      .and. index(ronde_error_message(), '"shapes"') > 0, "mismatch")
  end subroutine

  subroutine process_sets()
    integer(c_int) :: set, status
    real(c_double), target :: x
    if (ranks < 3) return
    call ronde_process_set_add([2, 0], set)
    call expect(ronde_process_set_included(set) .eqv. rank /= 1, "set included")
    call expect(ronde_process_set_size(set) == 2 .and. all(ronde_process_set_ranks(set) == [0, 2]) &
      .and. all(ronde_process_set_ids() == [0, set]), "set")
    x = rank + 1
    if (rank /= 1) call ronde_allreduce("set", x, RONDE_SUM, process_set=set)
    call expect(abs(x - merge(2, 4, rank == 1)) < 1e-12, "sum of a set")
    if (rank == 2) call expect(ronde_process_set_rank(set) == 1 .and. ronde_share(3, set) == 1, "share")
    call ronde_process_set_remove(set)
    call ronde_process_set_remove(set, status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT, "removed twice")
  end subroutine

  ! Two tensors of different types: with a result and in place, under a name and by order.
  subroutine groups()
    real(c_double), target, asynchronous :: x(3, 2), y(3, 2), wide(2, 4), share(2, 4)
    integer(int32), target, asynchronous :: n, m(4)
    type(ronde_group) :: group, shares
    type(ronde_handle) :: handle
    integer :: status, i

    call group%add(x, y)
    call group%add(n)
    do i = 1, 3
      x = rank + i
      y = -1
      n = i
      call ronde_grouped_allreduce(trim(merge("group", "     ", i < 3)), group, RONDE_SUM)
      call expect(all(abs(y - (i*ranks + ranks*(ranks - 1)/2)) < 1e-12) .and. n == i*ranks, "group")
    end do
    call expect(group%count() == 2 .and. size(group%lengths(1)) == 0, "count of a group")
    call ronde_grouped_allreduce("group", group, RONDE_SUM, process_set=77, status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT, "group of no set")

    ! A column for each rank and one more, for the first.
    i = ronde_share(ranks + 1)
    wide = rank + 1
    m = rank
    call shares%add(wide(:, :ranks + 1), share(:, :i))
    call shares%add(m(:ranks + 1))
    call ronde_grouped_reducescatter_async("shares", shares, RONDE_MAX, handle)
    call ronde_wait(handle)
    call expect(all(nint(share(:, :i)) == ranks) .and. count(m == ranks - 1) >= i, "shares")
    call shares%clear()
    call shares%add(m(:1))
    call shares%add(wide(:, :ranks + 1), share(:, :0))
    call ronde_grouped_reducescatter("shares", shares, RONDE_MAX, status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT .and. ronde_error_message() == &
      "ronde_grouped_reducescatter: tensor 2 of 2: result does not have the size of this rank's share", &
      "size of a share")
    call group%add(wide(:, :1), share(:, :2))
    call ronde_grouped_allreduce("group", group, RONDE_SUM, status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT .and. ronde_error_message() == &
      "ronde_grouped_allreduce: tensor 3 of 3: data and result are not of one size", "size in a group")
    call group%clear()
    call ronde_grouped_allreduce("group", group, RONDE_SUM, status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT .and. ronde_error_message() == &
      "ronde_grouped_allreduce_async: a group has 1 to 1048575 tensors, and this has 0", "empty group")
    call shares%clear()
  end subroutine

  ! Rank r brings r + 1 columns of a tensor, and one of another.
  subroutine gathered_groups()
    real(real32), target, asynchronous :: mine(2, 3), all(2, 6)
    integer(int8), target, asynchronous :: n(1), ns(4)
    type(ronde_group) :: group
    integer :: status, r

    mine = real(rank, real32)
    n = int(rank, int8)
    all = -1
    ns = -1
    call group%add(mine(:, :rank + 1), all(:, :ranks*(ranks + 1)/2))
    call group%add(n, ns)
    call ronde_grouped_allgather("lists", group)
    call ronde_grouped_allgather("", group)
    call expect(group%count() == 2 .and. all_are(int(group%lengths(1)), [(r + 1, r = 0, ranks - 1)]), &
      "lengths of a group")
    call expect(all_are(nint(reshape(all(:, :ranks*(ranks + 1)/2), [ranks*(ranks + 1)])), &
      [((r, status = 1, 2*(r + 1)), r = 0, ranks - 1)]), "gathered group")
    call expect(all_are(int(ns), [(r, r = 0, ranks - 1), (-1, r = ranks, 3)]), "gathered numbers")
    call group%clear()
    call group%add(mine)
    call ronde_grouped_allgather("lists", group, status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT .and. ronde_error_message() == &
      "ronde_grouped_allgather: tensor 1 of 1: it needs a result", "gathered in place")
    call group%clear()
  end subroutine

  logical function all_are(x, y)
    integer, intent(in) :: x(:), y(:)
    all_are = size(x) == size(y)
    if (all_are) all_are = all(x == y)
  end function

  subroutine texts()
    character(:), allocatable :: text
    if (rank == 0) text = "three lines"//new_line("a")//"and a bit"
    call ronde_broadcast_text("text", text, 0)
    call expect(text == "three lines"//new_line("a")//"and a bit" .and. len(text) == 21, "text")
    if (rank == ranks - 1) text = ""
    call ronde_broadcast_text("no text", text, ranks - 1)
    call expect(len(text) == 0, "no text")
    call lists()
  end subroutine

  subroutine lists()
    type(ronde_text) :: some(3)
    integer :: status

    if (rank == ranks - 1) then
      some(1)%text = "a"//achar(0)//"b"
      some(2)%text = repeat("long ", 10000)
    end if
    call ronde_broadcast_texts("texts", some, ranks - 1)
    call expect(some(1)%text == "a"//achar(0)//"b" .and. some(2)%text == repeat("long ", 10000) .and. &
      len(some(2)%text) == 50000 .and. some(3)%text == "" .and. len(some(3)%text) == 0, "texts")
    call ronde_broadcast_texts("", some(:0), 0)
    if (rank == 0) call ronde_broadcast_texts("texts", some, 0, status=status)
    if (rank /= 0) call ronde_broadcast_texts("texts", some(:2), 0, status=status)
    call expect(status == merge(RONDE_OK, RONDE_ERR_MISMATCH, ranks == 1) .and. &
      len(some(2)%text) == 50000, "lists that differ")
    call ronde_broadcast_texts("texts", some, 0, process_set=77, status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT, "texts of no set")
  end subroutine

  subroutine optimizer()
    type(descent), target :: d
    type(ronde_parameters) :: parameters
    type(ronde_optimizer) :: wrapped
    real(c_double) :: norm
    integer :: status

    d%weights = rank
    call parameters%add("weights", d%weights, d%gradient)
    call expect(parameters%count() == 1, "count")
    call parameters%broadcast(0)
    call expect(all(d%weights == 0), "parameters")
    d%weights = rank
    call parameters%broadcast(0, process_set=0)
    call expect(all(d%weights == 0), "parameters of a set")
    call parameters%broadcast(0, status, process_set=99)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT, "no such set")
    call wrapped%create(d, parameters, reduction=RONDE_SUM, name="g")
    d%gradient = rank + 1
    call wrapped%ready(1)
    call wrapped%step()
    call expect(d%calls == 1 .and. all(d%weights == -ranks*(ranks + 1)/2), "step")
    call wrapped%ready(2, status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT, "index")
    d%gradient = 1
    call wrapped%absent(1)
    call wrapped%synchronize()
    call expect(all(d%gradient == 0), "absent")
    d%gradient = 2
    call parameters%clip(1.0_c_double, norm)
    call expect(abs(norm - 2*sqrt(real(size(d%gradient), c_double))) < 1e-12_c_double, "norm")
    call expect(abs(norm2(real(d%gradient, c_double)) - 1) < 1e-6_c_double, "clip")
    d%status = 7
    call wrapped%step(status)
    call expect(status == RONDE_ERR_CALLBACK .and. index(ronde_error_message(), "7") > 0, "callback")
    call expect(wrapped%wait_seconds() >= 0, "wait_seconds")
    call wrapped%create(d, parameters, num_groups=3)
    d%status = 0
    d%gradient = rank
    call wrapped%step()
    call expect(all(abs(d%gradient - (ranks - 1)/2.0_c_double) < 1e-12), "groups")
    call wrapped%create(d, parameters, groups=[-3_c_int], status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT .and. index(ronde_error_message(), &
      "groups[0]") == 1, "bad group")
    call wrapped%create(d, parameters, groups=[1_c_int, 2_c_int], status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT .and. ronde_error_message() == &
      "ronde_optimizer: groups must have a number for each parameter", "number of groups")
    call wrapped%create(d, parameters, backward_passes_per_step=0, status=status)
    call expect(status == RONDE_ERR_INVALID_ARGUMENT, "bad option")
    call wrapped%destroy()
    call wrapped%destroy()
    call parameters%clear()
  end subroutine

#define KIND int8
#define NAME "int8"
#define TYPE integer(int8)
#define VALUE(n) int(n, int8)
#define SAME ==
#include "kinds.inc"

#define KIND int16
#define NAME "int16"
#define TYPE integer(int16)
#define VALUE(n) int(n, int16)
#define SAME ==
#include "kinds.inc"

#define KIND int32
#define NAME "int32"
#define TYPE integer(int32)
#define VALUE(n) int(n, int32)
#define SAME ==
#include "kinds.inc"

#define KIND int64
#define NAME "int64"
#define TYPE integer(int64)
#define VALUE(n) int(n, int64)
#define SAME ==
#include "kinds.inc"

#define KIND real32
#define NAME "real32"
#define TYPE real(real32)
#define VALUE(n) real(n, real32)
#define SAME ==
#include "kinds.inc"

#define KIND real64
#define NAME "real64"
#define TYPE real(real64)
#define VALUE(n) real(n, real64)
#define SAME ==
#include "kinds.inc"

#define KIND bool
#define NAME "bool"
#define TYPE logical(c_bool)
#define VALUE(n) logical((n) > 0, c_bool)
#define SAME .eqv.
#include "kinds.inc"

end program
