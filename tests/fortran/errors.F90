! SPDX-License-Identifier: Apache-2.0
! What a Fortran program sees when ranks disagree: the status, and the whole text without blanks
! behind it, the same on all ranks; then it goes on. With the argument "stop" it asks for no status
! and so stops with the text. For 3 ranks.
program errors
  use, intrinsic :: iso_fortran_env, only: int64, real32, real64, output_unit
  use ronde
  implicit none
  integer :: rank, failures = 0
  real(real32), target :: grid(4, 3), turned(3, 4), sum(2)
  real(real64), target :: longer(4, 3)
  integer(int64), target :: whole(2)
  integer :: status, last
  character(4) :: argument
  character(*), parameter :: same = '; all ranks must give the same to one '

  call ronde_init()
  rank = ronde_rank()
  last = ronde_size() - 1
  if (last /= 2) error stop "errors: wants 3 ranks"
  grid = 1
  turned = 1
  longer = 1
  whole = 1

  call get_command_argument(1, argument)
  if (argument == "stop") then
    if (rank == last) call ronde_allreduce("layer", turned, RONDE_SUM)
    if (rank /= last) call ronde_allreduce("layer", grid, RONDE_SUM)
    error stop "errors: not reached"
  end if

  ! Shapes are named as C does, the last dimension first.
  if (rank == last) call ronde_allreduce("layer", turned, RONDE_SUM, status=status)
  if (rank /= last) call ronde_allreduce("layer", grid, RONDE_SUM, status=status)
  call expect(RONDE_ERR_MISMATCH, &
    'tensor "layer": ranks 0-1 submitted float32[3,4], rank 2 submitted float32[4,3]'//same//'allreduce')

  if (rank == 1) call ronde_allreduce("layer", longer, RONDE_SUM, status=status)
  if (rank /= 1) call ronde_allreduce("layer", grid, RONDE_SUM, status=status)
  call expect(RONDE_ERR_MISMATCH, &
    'tensor "layer": ranks 0, 2 submitted float32[3,4], rank 1 submitted float64[3,4]'//same//'allreduce')

  call ronde_allreduce("layer", grid, merge(RONDE_MAX, RONDE_SUM, rank == 0), status=status)
  call expect(RONDE_ERR_MISMATCH, &
    'tensor "layer": rank 0 submitted reduction max, ranks 1-2 submitted reduction sum'//same//'allreduce')

  call ronde_broadcast("root", whole, rank, status=status)
  call expect(RONDE_ERR_MISMATCH, &
    'tensor "root": rank 0 submitted root rank 0, rank 1 submitted root rank 1, &
    &rank 2 submitted root rank 2'//same//'broadcast')

  call ronde_broadcast("root", whole, 3, status=status)
  call expect(RONDE_ERR_INVALID_ARGUMENT, &
    "ronde_broadcast_async: tensor ""root"": root 3 is not a rank; allowed is 0 to 2")

  ! All that was refused has done no harm.
  sum = rank
  call ronde_allreduce("sum", sum, RONDE_SUM, status=status)
  if (status /= RONDE_OK .or. any(nint(sum) /= 3) .or. any(nint(grid) /= 1)) then
    failures = failures + 1
    print "(a, i0, a)", "rank ", rank, ": what comes after errors is wrong"
  end if
  flush (output_unit)
  call ronde_shutdown()
  if (failures > 0) error stop 1

contains

  subroutine expect(code, text)
    integer, intent(in) :: code
    character(*), intent(in) :: text
    character(:), allocatable :: given
    given = ronde_error_message()
    if (status == code .and. given == text .and. len(given) == len(text)) return
    failures = failures + 1
    print "(a, i0, a, i0, 5a)", "rank ", rank, ": status ", status, ", '", given, "', not '", text, "'"
  end subroutine

end program
