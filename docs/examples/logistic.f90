! SPDX-License-Identifier: Apache-2.0
!
! Logistic regression, trained by all ranks together: learns which side of a line points lie on.
! Every rank takes its own share of each batch; the optimizer averages the gradients, then calls
! `update` below, which knows nothing of other ranks.
module classifier
  use, intrinsic :: iso_fortran_env, only: real64
  use ronde
  implicit none

  type, extends(ronde_updater) :: model
    real(real64) :: weights(2) = 0, bias = 0
    real(real64) :: weights_gradient(2) = 0, bias_gradient = 0
    real(real64) :: rate = 2
  contains
    procedure :: update
    procedure :: backward
  end type

contains

  subroutine update(self, status)
    class(model), intent(inout) :: self
    integer, intent(out) :: status

    self%weights = self%weights - self%rate*self%weights_gradient
    self%bias = self%bias - self%rate*self%bias_gradient
    status = 0
  end subroutine

  ! Sets the gradients, and gives the mean loss over these points.
  real(real64) function backward(self, points, labels)
    class(model), intent(inout) :: self
    real(real64), intent(in) :: points(:, :), labels(:)
    real(real64) :: p(size(labels))

    p = 1/(1 + exp(-(matmul(self%weights, points) + self%bias)))
    self%weights_gradient = matmul(points, p - labels)/size(labels)
    self%bias_gradient = sum(p - labels)/size(labels)
    backward = -sum(labels*log(p) + (1 - labels)*log(1 - p))/size(labels)
  end function

  ! The n-th point of the data set and its label: no random numbers, so that every run has the same.
  subroutine sample(n, point, label)
    integer, intent(in) :: n
    real(real64), intent(out) :: point(2), label

    point = 2*[modulo(n*0.7548776662466927_real64, 1.0_real64), &
      modulo(n*0.5698402909980532_real64, 1.0_real64)] - 1
    label = merge(1.0_real64, 0.0_real64, point(1) + 2*point(2) > 0.25_real64)
  end subroutine
end module

program logistic
  use classifier
  implicit none
  integer, parameter :: batch = 64, steps = 400
  type(model), target :: m
  type(ronde_parameters) :: parameters
  type(ronde_optimizer) :: optimizer
  type(ronde_group) :: results
  real(real64), allocatable :: points(:, :), labels(:)
  real(real64), target :: loss
  real(real64) :: p
  integer :: share, first, step, i
  integer, target :: right

  call ronde_init()
  if (modulo(batch, ronde_size()) /= 0) error stop "logistic: the ranks must divide 64"
  share = batch/ronde_size()
  allocate (points(2, share), labels(share))

  call parameters%add("weights", m%weights, m%weights_gradient)
  call parameters%add("bias", m%bias, m%bias_gradient)
  call parameters%broadcast(0)
  call optimizer%create(m, parameters)

  do step = 1, steps
    first = (step - 1)*batch + ronde_rank()*share
    do i = 1, share
      call sample(first + i, points(:, i), labels(i))
    end do
    loss = m%backward(points, labels)
    call optimizer%step()
  end do

  ! Each rank tests its share of other points. Two numbers of different types are one operation.
  right = 0
  do i = 1 + ronde_rank(), 1000, ronde_size()
    call sample(100000 + i, points(:, 1), labels(1))
    p = dot_product(m%weights, points(:, 1)) + m%bias
    right = right + merge(1, 0, (p > 0) .eqv. (labels(1) > 0.5))
  end do
  call results%add(loss)
  call results%add(right)
  call ronde_grouped_allreduce("results", results, RONDE_SUM)
  loss = loss/ronde_size()
  if (ronde_rank() == 0) print "(a, f0.6, a, 3(1x, es22.15), a, i0, a)", "loss ", loss, ", weights", &
    m%weights, m%bias, ", ", right, " of 1000 right"

  call optimizer%destroy()
  call parameters%clear()
  call results%clear()
  call ronde_shutdown()
end program
