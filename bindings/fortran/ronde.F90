! SPDX-License-Identifier: Apache-2.0
!
! Ronde for Fortran. Names and meaning are those of ronde/ronde.h, with these differences:
!
! - Operations take arrays of any rank (or scalars) of the kinds int8 to int64, real32, real64 and
!   logical(c_bool); they know type and shape by themselves. An operation works in place unless it
!   is given `result`. What an asynchronous operation uses must be contiguous, and needs the
!   attributes target and asynchronous in the caller.
! - Errors: with the argument `status` it is set to RONDE_OK or a negative status, and
!   ronde_error_message() has the text; without it the program stops with that text.
! - Arrays are stored by columns, so the first dimension that C sees is Fortran's last one: an
!   allgather joins along the last dimension, a reducescatter shares it out, and error texts show
!   shapes that way round.
! - A name of no characters means: matched by order.
! - What comes behind `by_name` in a list of arguments can be given by its name only, as in
!   status=code. (A number given by its place would be taken for the process set.)
! - Numbers of columns of sparse tensors count from 1.
!
! The layer below is in ronde_c.f90. To add an operation: its function in ronde_c, a procedure here
! that calls it for any kind, one in operations.inc that says where the tensors are, an interface.
module ronde
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  use ronde_c
  implicit none
  private

  ! Nobody can make one: so no argument fits the place of a dummy of this type, and what is behind it
  ! has to be given by name.
  type, public :: ronde_by_name
    private
    integer :: nothing = 0
  end type

  ! An operation in flight.
  type, public :: ronde_handle
    integer(c_int64_t) :: id = 0
  end type

  ! An update: extend this type with the weights, and give it a procedure that reads gradients and
  ! writes weights. status other than 0 is an error, passed on.
  type, abstract, public :: ronde_updater
  contains
    procedure(update_interface), deferred :: update
  end type

  abstract interface
    subroutine update_interface(self, status)
      import :: ronde_updater
      class(ronde_updater), intent(inout) :: self
      integer, intent(out) :: status
    end subroutine
  end interface

  type :: name_text
    character(kind=c_char), pointer :: text(:) => null()
  end type

  ! The parameters of a model: list%add(name, data, gradient). The arrays must be targets and
  ! contiguous. The list must live as long as the optimizers made of it; list%clear() empties it.
  type, public :: ronde_parameters
    private
    type(c_parameter), allocatable :: list(:)
    type(name_text), allocatable :: names(:)
  contains
    procedure, private :: add_int8, add_int16, add_int32, add_int64, add_real32, add_real64, add_bool
    generic :: add => add_int8, add_int16, add_int32, add_int64, add_real32, add_real64, add_bool
    procedure :: count => parameters_count
    procedure :: broadcast => parameters_broadcast
    procedure :: clip => parameters_clip
    procedure :: clear => parameters_clear
  end type

  type :: updater_box
    class(ronde_updater), pointer :: updater => null()
  end type

  ! The distributed optimizer: create, then for each batch: ready(i) as the gradient of the i-th
  ! parameter (from 1) is final, if wanted, and step().
  type, public :: ronde_optimizer
    private
    type(c_ptr) :: optimizer = c_null_ptr
    type(updater_box), pointer :: box => null()
    character(kind=c_char), pointer :: name(:) => null()
  contains
    procedure :: create => optimizer_create
    procedure :: ready => optimizer_ready
    procedure :: absent => optimizer_absent
    procedure :: synchronize => optimizer_synchronize
    procedure :: step => optimizer_step
    procedure :: wait_seconds => optimizer_wait_seconds
    procedure :: destroy => optimizer_destroy
  end type

  ! A tensor as C sees it.
  type :: tensor
    type(c_ptr) :: data
    integer(c_int) :: dtype
    logical :: contiguous
    integer(c_int64_t), allocatable :: shape(:)
  end type

  type :: gathered_place
    type(c_gathered) :: gathered
    integer(c_int64_t), allocatable :: lengths(:)
  end type

  type :: group_member
    type(tensor) :: from, to
    logical :: in_place = .true.
    type(gathered_place), pointer :: place => null()
  end type

  ! The tensors of a grouped operation: group%add(data) or group%add(data, result). The arrays must
  ! be targets and contiguous, and live with the group until the operation is complete; it can be
  ! used again. group%lengths(i): after an allgather, how many columns of the i-th tensor (from 1)
  ! each rank brought. group%clear() empties it.
  type, public :: ronde_group
    private
    type(group_member), allocatable :: list(:)
  contains
    procedure, private :: join_int8, join_int16, join_int32, join_int64, join_real32, join_real64, &
      join_bool
    generic :: add => join_int8, join_int16, join_int32, join_int64, join_real32, join_real64, &
      join_bool
    procedure :: count => group_count
    procedure :: lengths => group_lengths
    procedure :: clear => group_clear
  end type

  ! A text of any length; see ronde_broadcast_texts().
  type, public :: ronde_text
    character(:), allocatable :: text
  end type

  type :: state_entry
    character(kind=c_char), allocatable :: name(:)
    integer(c_int) :: dtype = RONDE_FLOAT32
    type(c_ptr) :: data = c_null_ptr
    integer(c_int64_t) :: count = 0
  end type

  ! An optimizer's state, of which ranks may have parts only: state%put(name, array) takes a copy;
  ! state%expect(name, mold) names an item of mold's kind that this rank has nothing of yet;
  ! state%broadcast(root); state%get(name, array), which leaves the array not allocated if there is
  ! nothing of that name and kind. state%clear() empties it.
  type, public :: ronde_state
    private
    type(state_entry), allocatable :: items(:)
  contains
    procedure, private :: put_int8, put_int16, put_int32, put_int64, put_real32, put_real64, put_bool
    procedure, private :: get_int8, get_int16, get_int32, get_int64, get_real32, get_real64, get_bool
    procedure, private :: expect_int8, expect_int16, expect_int32, expect_int64, expect_real32, &
      expect_real64, expect_bool
    generic :: put => put_int8, put_int16, put_int32, put_int64, put_real32, put_real64, put_bool
    generic :: get => get_int8, get_int16, get_int32, get_int64, get_real32, get_real64, get_bool
    generic :: expect => expect_int8, expect_int16, expect_int32, expect_int64, expect_real32, &
      expect_real64, expect_bool
    procedure :: broadcast => state_broadcast
    procedure :: clear => state_clear
  end type

  interface ronde_allreduce
    module procedure allreduce_int8, allreduce_int16, allreduce_int32, allreduce_int64, &
      allreduce_real32, allreduce_real64, allreduce_bool
  end interface

  interface ronde_allreduce_async
    module procedure allreduce_int8_async, allreduce_int16_async, allreduce_int32_async, &
      allreduce_int64_async, allreduce_real32_async, allreduce_real64_async, allreduce_bool_async
  end interface

  interface ronde_broadcast
    module procedure broadcast_int8, broadcast_int16, broadcast_int32, broadcast_int64, &
      broadcast_real32, broadcast_real64, broadcast_bool
  end interface

  interface ronde_broadcast_async
    module procedure broadcast_int8_async, broadcast_int16_async, broadcast_int32_async, &
      broadcast_int64_async, broadcast_real32_async, broadcast_real64_async, broadcast_bool_async
  end interface

  interface ronde_allgather
    module procedure allgather_int8, allgather_int16, allgather_int32, allgather_int64, &
      allgather_real32, allgather_real64, allgather_bool
  end interface

  interface ronde_reducescatter
    module procedure reducescatter_int8, reducescatter_int16, reducescatter_int32, &
      reducescatter_int64, reducescatter_real32, reducescatter_real64, reducescatter_bool
  end interface

  interface ronde_reducescatter_async
    module procedure reducescatter_int8_async, reducescatter_int16_async, &
      reducescatter_int32_async, reducescatter_int64_async, reducescatter_real32_async, &
      reducescatter_real64_async, reducescatter_bool_async
  end interface

  interface ronde_alltoall
    module procedure alltoall_int8, alltoall_int16, alltoall_int32, alltoall_int64, &
      alltoall_real32, alltoall_real64, alltoall_bool
  end interface

  interface ronde_sparse_allreduce
    module procedure sparse_allreduce_int8, sparse_allreduce_int16, sparse_allreduce_int32, &
      sparse_allreduce_int64, sparse_allreduce_real32, sparse_allreduce_real64, &
      sparse_allreduce_bool
  end interface

  interface ronde_sparse_add
    module procedure sparse_add_int8, sparse_add_int16, sparse_add_int32, sparse_add_int64, &
      sparse_add_real32, sparse_add_real64, sparse_add_bool
  end interface

  interface ronde_alloc
    module procedure alloc_int8_1, alloc_int16_1, alloc_int32_1, alloc_int64_1, alloc_real32_1, &
      alloc_real64_1, alloc_bool_1
    module procedure alloc_int8_2, alloc_int16_2, alloc_int32_2, alloc_int64_2, alloc_real32_2, &
      alloc_real64_2, alloc_bool_2
  end interface

  interface ronde_free
    module procedure free_int8, free_int16, free_int32, free_int64, free_real32, free_real64, &
      free_bool
  end interface

  interface
    subroutine system_free(memory) bind(c, name="free")
      import :: c_ptr
      type(c_ptr), value :: memory
    end subroutine

    function system_malloc(bytes) bind(c, name="malloc") result(memory)
      import :: c_ptr, c_size_t
      integer(c_size_t), value :: bytes
      type(c_ptr) :: memory
    end function

    function system_strlen(text) bind(c, name="strlen") result(n)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: n
    end function
  end interface

  ! The text of an error that C has not seen; "": it has.
  character(200), save :: own_text = ""

  public :: ronde_version, ronde_status_name, ronde_status_text, ronde_error_message
  public :: ronde_init, ronde_shutdown, ronde_is_initialized
  public :: ronde_rank, ronde_size, ronde_local_rank, ronde_local_size
  public :: ronde_cross_rank, ronde_cross_size, ronde_is_homogeneous
  public :: ronde_process_set_add, ronde_process_set_remove, ronde_process_set_size
  public :: ronde_process_set_rank, ronde_process_set_included, ronde_process_set_ranks
  public :: ronde_process_set_ids
  public :: ronde_alloc, ronde_free, ronde_test, ronde_wait
  public :: ronde_allreduce, ronde_allreduce_async, ronde_broadcast, ronde_broadcast_async
  public :: ronde_reducescatter, ronde_reducescatter_async, ronde_share
  public :: ronde_allgather, ronde_barrier, ronde_barrier_async, ronde_broadcast_text
  public :: ronde_broadcast_texts, ronde_join, ronde_alltoall, ronde_sparse_allreduce, ronde_sparse_add
  public :: ronde_grouped_allreduce, ronde_grouped_allreduce_async
  public :: ronde_grouped_allgather, ronde_grouped_allgather_async
  public :: ronde_grouped_reducescatter, ronde_grouped_reducescatter_async
  public :: ronde_get_counters, c_counters, ronde_timeline_start, ronde_timeline_stop
  public :: ronde_stall_report
  public :: RONDE_OK, RONDE_ERR_NOT_INITIALIZED, RONDE_ERR_INVALID_ARGUMENT, &
    RONDE_ERR_UNKNOWN_HANDLE, RONDE_ERR_DUPLICATE_NAME, RONDE_ERR_MISMATCH, RONDE_ERR_SHUTDOWN, &
    RONDE_ERR_PEER_LOST, RONDE_ERR_OUT_OF_MEMORY, RONDE_ERR_CONFIGURATION, RONDE_ERR_LAUNCHER, &
    RONDE_ERR_SYSTEM, RONDE_ERR_BUSY, RONDE_ERR_VERSION, RONDE_ERR_TRUNCATED, RONDE_ERR_CALLBACK, &
    RONDE_ERR_INTERNAL, RONDE_ERR_STALLED
  public :: RONDE_AVERAGE, RONDE_SUM, RONDE_ADASUM, RONDE_MIN, RONDE_MAX, RONDE_PRODUCT
  public :: RONDE_COMPRESSION_NONE, RONDE_COMPRESSION_FP16, RONDE_COMPRESSION_BF16

contains

  ! ---- texts and errors ----

  ! A Fortran string of C's.
  function text_of(start) result(text)
    type(c_ptr), intent(in) :: start
    character(:), allocatable :: text
    character(kind=c_char), pointer :: characters(:)
    integer :: i, n

    n = int(system_strlen(start))
    call c_f_pointer(start, characters, [n])
    allocate (character(n) :: text)
    do i = 1, n
      text(i:i) = characters(i)
    end do
  end function

  ! The characters of a string and a final zero.
  pure function with_zero(text) result(characters)
    character(*), intent(in) :: text
    character(kind=c_char) :: characters(len(text) + 1)
    integer :: i

    do i = 1, len(text)
      characters(i) = text(i:i)
    end do
    characters(len(text) + 1) = c_null_char
  end function

  ! No characters: a null pointer.
  function start_of(name, characters) result(start)
    character(*), intent(in) :: name
    character(kind=c_char), target, intent(in) :: characters(:)
    type(c_ptr) :: start

    start = c_null_ptr
    if (len(name) > 0) start = c_loc(characters)
  end function

  function ronde_version() result(text)
    character(:), allocatable :: text
    text = text_of(c_version())
  end function

  function ronde_status_name(status) result(text)
    integer(c_int), intent(in) :: status
    character(:), allocatable :: text
    text = text_of(c_status_name(status))
  end function

  function ronde_status_text(status) result(text)
    integer(c_int), intent(in) :: status
    character(:), allocatable :: text
    text = text_of(c_status_text(status))
  end function

  function ronde_error_message() result(text)
    character(:), allocatable :: text
    text = trim(own_text)
    if (text == "") text = text_of(c_error_message())
  end function

  ! Gives the code to who asks for it; else an error ends the program.
  subroutine finish(code, status)
    integer(c_int), intent(in) :: code
    integer(c_int), optional, intent(out) :: status

    own_text = ""
    call give(code, status)
  end subroutine

  ! An error that is found on this side.
  subroutine fail(text, status)
    character(*), intent(in) :: text
    integer(c_int), optional, intent(out) :: status

    own_text = text
    call give(RONDE_ERR_INVALID_ARGUMENT, status)
  end subroutine

  subroutine give(code, status)
    integer(c_int), intent(in) :: code
    integer(c_int), optional, intent(out) :: status

    if (present(status)) then
      status = code
    else if (code /= RONDE_OK) then
      error stop ronde_error_message()
    end if
  end subroutine

  ! ---- starting, stopping, the world ----

  ! settings: pairs name, value, as ["lanes", "4    "]; blanks at the end do not count.
  subroutine ronde_init(settings, status)
    character(*), optional, intent(in) :: settings(:)
    integer(c_int), optional, intent(out) :: status
    type(c_init_options), target :: options
    type(c_ptr), allocatable, target :: pointers(:)
    character(kind=c_char), allocatable, target :: texts(:, :)
    integer :: i

    if (.not. present(settings)) then
      call finish(c_init(c_null_ptr), status)
      return
    end if
    allocate (pointers(size(settings) + 1), texts(len(settings) + 1, size(settings)))
    do i = 1, size(settings)
      texts(:len_trim(settings(i)) + 1, i) = with_zero(trim(settings(i)))
      pointers(i) = c_loc(texts(1, i))
    end do
    pointers(size(settings) + 1) = c_null_ptr
    options%size = c_sizeof(options)
    options%settings = c_loc(pointers)
    call finish(c_init(c_loc(options)), status)
  end subroutine

  subroutine ronde_shutdown(status)
    integer(c_int), optional, intent(out) :: status
    call finish(c_shutdown(), status)
  end subroutine

  logical function ronde_is_initialized()
    ronde_is_initialized = c_is_initialized() /= 0
  end function

  ! World queries: a number, or RONDE_ERR_NOT_INITIALIZED.

  integer function ronde_rank()
    ronde_rank = c_rank()
  end function

  integer function ronde_size()
    ronde_size = c_size()
  end function

  integer function ronde_local_rank()
    ronde_local_rank = c_local_rank()
  end function

  integer function ronde_local_size()
    ronde_local_size = c_local_size()
  end function

  integer function ronde_cross_rank()
    ronde_cross_rank = c_cross_rank()
  end function

  integer function ronde_cross_size()
    ronde_cross_size = c_cross_size()
  end function

  logical function ronde_is_homogeneous()
    ronde_is_homogeneous = c_is_homogeneous() == 1
  end function

  subroutine ronde_get_counters(counters, status)
    type(c_counters), intent(out) :: counters
    integer(c_int), optional, intent(out) :: status

    counters%size = c_sizeof(counters)
    call finish(c_get_counters(counters), status)
  end subroutine

  ! ---- process sets ----

  subroutine ronde_process_set_add(ranks, set, status)
    integer(c_int), intent(in) :: ranks(:)
    integer(c_int), intent(inout) :: set
    integer(c_int), optional, intent(out) :: status
    call finish(c_process_set_add(ranks, size(ranks, kind=c_size_t), set), status)
  end subroutine

  subroutine ronde_process_set_remove(set, status)
    integer(c_int), intent(in) :: set
    integer(c_int), optional, intent(out) :: status
    call finish(c_process_set_remove(set), status)
  end subroutine

  ! Questions about a set: a number, or a negative status.

  integer function ronde_process_set_size(set)
    integer(c_int), intent(in) :: set
    ronde_process_set_size = c_process_set_size(set)
  end function

  integer function ronde_process_set_rank(set)
    integer(c_int), intent(in) :: set
    ronde_process_set_rank = c_process_set_rank(set)
  end function

  logical function ronde_process_set_included(set)
    integer(c_int), intent(in) :: set
    ronde_process_set_included = c_process_set_included(set) == 1
  end function

  ! The set's ranks, ascending; of no elements if there is no such set.
  function ronde_process_set_ranks(set) result(ranks)
    integer(c_int), intent(in) :: set
    integer(c_int), allocatable :: ranks(:)
    integer(c_int) :: number

    allocate (ranks(max(c_process_set_size(set), 0)))
    number = c_process_set_ranks(set, ranks, size(ranks, kind=c_size_t))
  end function

  ! Numbers of all sets. Another thread may add one meanwhile: then it is not among them.
  function ronde_process_set_ids() result(sets)
    integer(c_int), allocatable :: sets(:)
    integer(c_int) :: none(1), number

    allocate (sets(max(c_process_set_ids(none, 0_c_size_t), 0)))
    number = c_process_set_ids(sets, size(sets, kind=c_size_t))
    if (number < size(sets)) sets = sets(:max(number, 0))
  end function

  ! The node's last stall report, '' if there was none.
  subroutine ronde_stall_report(text, status)
    character(:), allocatable, intent(out) :: text
    integer(c_int), optional, intent(out) :: status
    character(kind=c_char), target :: room(4096)
    integer(c_int) :: code

    room = c_null_char
    code = c_stall_report(c_loc(room), size(room, kind=c_size_t))
    text = text_of(c_loc(room))
    call finish(code, status)
  end subroutine

  subroutine ronde_timeline_start(path, by_name, all_ranks, mark_cycles, status)
    character(*), intent(in) :: path
    type(ronde_by_name), optional, intent(in) :: by_name
    logical, optional, intent(in) :: all_ranks, mark_cycles
    integer(c_int), optional, intent(out) :: status
    type(c_timeline_options), target :: options
    character(kind=c_char), target :: text(len(path) + 1)

    text = with_zero(path)
    options%size = c_sizeof(options)
    if (present(all_ranks)) options%all_ranks = merge(1, 0, all_ranks)
    if (present(mark_cycles)) options%mark_cycles = merge(1, 0, mark_cycles)
    call finish(c_timeline_start(c_loc(text), c_loc(options)), status)
  end subroutine

  subroutine ronde_timeline_stop(status)
    integer(c_int), optional, intent(out) :: status
    call finish(c_timeline_stop(), status)
  end subroutine

  ! ---- memory ----

  function allocate_bytes(extents, dtype, status) result(start)
    integer, intent(in) :: extents(:)
    integer(c_int), intent(in) :: dtype
    integer(c_int), optional, intent(out) :: status
    type(c_ptr) :: start
    integer(c_int) :: code

    start = c_alloc(product(int(max(extents, 0), c_size_t))*c_dtype_bytes(dtype))
    code = RONDE_OK
    if (.not. c_associated(start)) code = RONDE_ERR_OUT_OF_MEMORY
    call finish(code, status)
  end function

  ! ---- handles ----

  logical function ronde_test(handle, status)
    type(ronde_handle), intent(in) :: handle
    integer(c_int), optional, intent(out) :: status
    integer(c_int) :: done

    done = 0
    call finish(c_test(handle%id, done), status)
    ronde_test = done /= 0
  end function

  subroutine ronde_wait(handle, status)
    type(ronde_handle), intent(in) :: handle
    integer(c_int), optional, intent(out) :: status
    call finish(c_wait(handle%id), status)
  end subroutine

  ! The second half of a blocking operation.
  subroutine wait_unless(code, handle, status)
    integer(c_int), intent(in) :: code
    type(ronde_handle), intent(in) :: handle
    integer(c_int), optional, intent(out) :: status

    if (code == RONDE_OK) then
      call ronde_wait(handle, status)
    else
      call give(code, status)
    end if
  end subroutine

  ! ---- operations, for any kind ----

  pure function reversed(extents) result(shape)
    integer, intent(in) :: extents(:)
    integer(c_int64_t) :: shape(size(extents))
    shape = int(extents(size(extents):1:-1), c_int64_t)
  end function

  function options_of(shape, process_set, prescale, postscale) result(options)
    integer(c_int64_t), target, intent(in) :: shape(:)
    integer, optional, intent(in) :: process_set
    real(c_double), optional, intent(in) :: prescale, postscale
    type(c_options) :: options

    options%size = c_sizeof(options)
    options%ndim = size(shape)
    options%shape = c_loc(shape)
    if (present(process_set)) options%process_set = process_set
    if (present(prescale)) options%prescale = prescale
    if (present(postscale)) options%postscale = postscale
  end function

  subroutine submit_allreduce(name, from, to, reduction, handle, process_set, prescale, postscale, &
      status)
    character(*), intent(in) :: name
    type(tensor), target, intent(in) :: from, to
    integer(c_int), intent(in) :: reduction
    type(ronde_handle), intent(out) :: handle
    integer, optional, intent(in) :: process_set
    real(c_double), optional, intent(in) :: prescale, postscale
    integer(c_int), optional, intent(out) :: status
    character(kind=c_char), target :: text(len(name) + 1)

    if (.not. (from%contiguous .and. to%contiguous)) then
      call fail("ronde_allreduce: an array is not contiguous", status)
    else if (product(from%shape) /= product(to%shape)) then
      call fail("ronde_allreduce: data and result are not of one size", status)
    else
      text = with_zero(name)
      call finish(c_allreduce_async(start_of(name, text), from%data, to%data, &
        product(from%shape), from%dtype, reduction, &
        options_of(from%shape, process_set, prescale, postscale), handle%id), status)
    end if
  end subroutine

  subroutine submit_broadcast(name, data, root, handle, process_set, status)
    character(*), intent(in) :: name
    type(tensor), target, intent(in) :: data
    integer, intent(in) :: root
    type(ronde_handle), intent(out) :: handle
    integer, optional, intent(in) :: process_set
    integer(c_int), optional, intent(out) :: status
    character(kind=c_char), target :: text(len(name) + 1)

    if (.not. data%contiguous) then
      call fail("ronde_broadcast: the array is not contiguous", status)
    else
      text = with_zero(name)
      call finish(c_broadcast_async(start_of(name, text), data%data, data%data, &
        product(data%shape), data%dtype, root, options_of(data%shape, process_set), handle%id), &
        status)
    end if
  end subroutine

  ! memory: of malloc(), for `count` elements; a null pointer if there are none, or on an error.
  subroutine gather(name, data, memory, count, lengths, process_set, status)
    character(*), intent(in) :: name
    type(tensor), target, intent(in) :: data
    type(c_ptr), intent(out) :: memory
    integer(c_int64_t), intent(out) :: count
    integer(c_int64_t), allocatable, optional, intent(out) :: lengths(:)
    integer, optional, intent(in) :: process_set
    integer(c_int), optional, intent(out) :: status
    character(kind=c_char), target :: text(len(name) + 1)
    integer(c_int64_t), allocatable, target :: rows(:)
    type(c_gathered), target :: gathered
    type(ronde_handle) :: handle
    integer(c_int) :: code

    memory = c_null_ptr
    count = 0
    if (.not. data%contiguous) then
      call fail("ronde_allgather: the array is not contiguous", status)
      return
    end if
    text = with_zero(name)
    allocate (rows(max(ronde_size(), 1)), source=0_c_int64_t)
    gathered%rows_per_rank = c_loc(rows)
    code = c_allgather_async(start_of(name, text), data%data, data%shape, size(data%shape), &
      data%dtype, gathered, options_of(data%shape, process_set), handle%id)
    if (code == RONDE_OK) code = c_wait(handle%id)
    if (code == RONDE_OK) then
      count = gathered%rows*product(data%shape(2:))
      memory = gathered%data
      if (present(lengths)) lengths = rows
    end if
    call finish(code, status)
  end subroutine

  ! Of n columns (extent of the last dimension), those that this rank gets of a reducescatter.
  integer function ronde_share(n, process_set)
    integer, intent(in) :: n
    integer, optional, intent(in) :: process_set
    integer(c_int64_t) :: first, count
    integer(c_int) :: code
    integer :: set

    set = 0
    if (present(process_set)) set = process_set
    code = c_reducescatter_rows(int(n, c_int64_t), c_process_set_size(set), &
      c_process_set_rank(set), first, count)
    ronde_share = code
    if (code == RONDE_OK) ronde_share = int(count)
  end function

  logical function share_fits(from, to, process_set)
    type(tensor), intent(in) :: from, to
    integer, optional, intent(in) :: process_set
    integer :: columns

    share_fits = .true.
    if (size(from%shape) == 0) return
    columns = ronde_share(int(from%shape(1)), process_set)
    if (columns < 0) return ! C has words for that
    share_fits = product(to%shape) == columns*product(from%shape(2:))
  end function

  subroutine submit_reducescatter(name, from, to, reduction, handle, process_set, prescale, &
      postscale, status)
    character(*), intent(in) :: name
    type(tensor), target, intent(in) :: from, to
    integer(c_int), intent(in) :: reduction
    type(ronde_handle), intent(out) :: handle
    integer, optional, intent(in) :: process_set
    real(c_double), optional, intent(in) :: prescale, postscale
    integer(c_int), optional, intent(out) :: status
    character(kind=c_char), target :: text(len(name) + 1)

    if (.not. (from%contiguous .and. to%contiguous)) then
      call fail("ronde_reducescatter: an array is not contiguous", status)
    else if (.not. share_fits(from, to, process_set)) then
      call fail("ronde_reducescatter: result does not have the size of this rank's share", status)
    else
      text = with_zero(name)
      call finish(c_reducescatter_async(start_of(name, text), from%data, to%data, from%shape, &
        size(from%shape), from%dtype, reduction, &
        options_of(from%shape, process_set, prescale, postscale), handle%id), status)
    end if
  end subroutine

#include "groups.inc"

#include "rows.inc"

#include "state.inc"

  subroutine ronde_barrier(status)
    integer(c_int), optional, intent(out) :: status
    call finish(c_barrier(), status)
  end subroutine

  subroutine ronde_barrier_async(handle, by_name, process_set, status)
    type(ronde_handle), intent(out) :: handle
    type(ronde_by_name), optional, intent(in) :: by_name
    integer, optional, intent(in) :: process_set
    integer(c_int), optional, intent(out) :: status
    type(c_options) :: options

    options%size = c_sizeof(options)
    if (present(process_set)) options%process_set = process_set
    call finish(c_barrier_async(options, handle%id), status)
  end subroutine

  ! This rank has no more data; returns when no rank has.
  subroutine ronde_join(last_rank, by_name, status)
    type(ronde_by_name), optional, intent(in) :: by_name
    integer(c_int), optional, intent(out) :: last_rank, status
    call finish(c_join(last_rank), status)
  end subroutine

  ! Every rank gets the root's text, of whatever length (ronde_broadcast_bytes()).
  subroutine ronde_broadcast_text(name, text, root, status)
    character(*), intent(in) :: name
    character(:), allocatable, intent(inout) :: text
    integer, intent(in) :: root
    integer(c_int), optional, intent(out) :: status
    character(kind=c_char), target :: characters(len(name) + 1)
    character(kind=c_char), allocatable, target :: mine(:)
    character(kind=c_char), pointer :: theirs(:)
    type(c_ptr) :: data
    integer(c_size_t) :: bytes
    integer(c_int) :: code
    logical :: sends
    integer :: i

    sends = ronde_rank() == root
    characters = with_zero(name)
    data = c_null_ptr
    bytes = 0
    if (sends .and. .not. allocated(text)) text = ""
    if (sends) then
      mine = with_zero(text)
      data = c_loc(mine)
      bytes = len(text, c_size_t)
    end if
    code = c_broadcast_bytes(start_of(name, characters), data, bytes, root)
    if (code == RONDE_OK .and. .not. sends) then
      if (allocated(text)) deallocate (text)
      allocate (character(bytes) :: text)
      call c_f_pointer(data, theirs, [bytes])
      do i = 1, int(bytes)
        text(i:i) = theirs(i)
      end do
      call system_free(data)
    end if
    call finish(code, status)
  end subroutine

  ! ---- training ----

  ! A list that has never been added to is an empty one.
  subroutine need_list(self)
    class(ronde_parameters), intent(inout) :: self
    if (.not. allocated(self%list)) allocate (self%list(0), self%names(0))
  end subroutine

  subroutine add_parameter(self, name, data, gradient)
    class(ronde_parameters), intent(inout) :: self
    character(*), intent(in) :: name
    type(tensor), intent(in) :: data, gradient
    type(c_parameter) :: parameter
    type(name_text) :: text

    if (.not. (data%contiguous .and. gradient%contiguous)) &
      error stop "ronde_parameters: an array is not contiguous"
    if (product(data%shape) /= product(gradient%shape)) &
      error stop "ronde_parameters: data and gradient are not of one size"
    allocate (text%text(len(name) + 1))
    text%text = with_zero(name)
    parameter%name = c_loc(text%text)
    parameter%data = data%data
    parameter%gradient = gradient%data
    parameter%count = product(data%shape)
    parameter%dtype = data%dtype
    call need_list(self)
    self%list = [self%list, parameter]
    self%names = [self%names, text]
  end subroutine

  integer function parameters_count(self)
    class(ronde_parameters), intent(in) :: self
    parameters_count = 0
    if (allocated(self%list)) parameters_count = size(self%list)
  end function

  ! Every rank gets the root's weights.
  subroutine parameters_broadcast(self, root, status, process_set)
    class(ronde_parameters), intent(inout) :: self
    integer, intent(in) :: root
    integer(c_int), optional, intent(out) :: status
    integer, optional, intent(in) :: process_set
    integer(c_int) :: set

    set = 0
    if (present(process_set)) set = process_set
    call need_list(self)
    call finish(c_broadcast_parameters_on(self%list, size(self%list, kind=c_size_t), root, set), &
      status)
  end subroutine

  ! By the global norm of all gradients. One that is infinite or NaN is an error.
  subroutine parameters_clip(self, max_norm, norm, status)
    class(ronde_parameters), intent(inout) :: self
    real(c_double), intent(in) :: max_norm
    real(c_double), optional, intent(out) :: norm
    integer(c_int), optional, intent(out) :: status

    call need_list(self)
    call finish(c_clip_by_global_norm(self%list, size(self%list, kind=c_size_t), max_norm, 1, &
      norm), status)
  end subroutine

  subroutine parameters_clear(self)
    class(ronde_parameters), intent(inout) :: self
    integer :: i

    call need_list(self)
    do i = 1, size(self%names)
      deallocate (self%names(i)%text)
    end do
    deallocate (self%list, self%names)
  end subroutine

  ! What C calls.
  function call_update(state) bind(c, name="ronde_fortran_call_update") result(status)
    type(c_ptr), value :: state
    integer(c_int) :: status
    type(updater_box), pointer :: box

    call c_f_pointer(state, box)
    call box%updater%update(status)
  end function

  subroutine optimizer_create(self, updater, parameters, by_name, reduction, compression, &
      backward_passes_per_step, gradient_predivide_factor, process_set, name, status, &
      num_groups, groups)
    class(ronde_optimizer), intent(inout) :: self
    class(ronde_updater), target, intent(inout) :: updater
    class(ronde_parameters), intent(inout) :: parameters
    type(ronde_by_name), optional, intent(in) :: by_name
    integer(c_int), optional, intent(in) :: reduction, compression
    integer, optional, intent(in) :: backward_passes_per_step, process_set
    real(c_double), optional, intent(in) :: gradient_predivide_factor
    character(*), optional, intent(in) :: name
    integer(c_int), optional, intent(out) :: status
    integer, optional, intent(in) :: num_groups
    integer(c_int), optional, intent(in) :: groups(:) ! one number for each parameter, or -1
    type(c_distributed_optimizer_options) :: options
    integer(c_int), allocatable, target :: numbers(:)
    integer(c_int) :: code

    call self%destroy()
    call need_list(parameters)
    options%size = c_sizeof(options)
    if (present(reduction)) options%reduction = reduction
    if (present(compression)) options%compression = compression
    if (present(backward_passes_per_step)) &
      options%backward_passes_per_step = backward_passes_per_step
    if (present(gradient_predivide_factor)) &
      options%gradient_predivide_factor = gradient_predivide_factor
    if (present(process_set)) options%process_set = process_set
    if (present(num_groups)) options%num_groups = num_groups
    if (present(groups)) then
      if (size(groups) /= parameters%count()) then
        call fail("ronde_optimizer: groups must have a number for each parameter", status)
        return
      end if
      numbers = groups
      options%groups = c_loc(numbers)
    end if
    if (present(name)) then
      allocate (self%name(len(name) + 1))
      self%name = with_zero(name)
      options%name = c_loc(self%name)
    end if
    allocate (self%box)
    self%box%updater => updater
    code = c_distributed_optimizer_create(self%optimizer, c_funloc(call_update), c_loc(self%box), &
      parameters%list, size(parameters%list, kind=c_size_t), options)
    if (code /= RONDE_OK) call self%destroy()
    call finish(code, status)
  end subroutine

  subroutine optimizer_ready(self, index, status)
    class(ronde_optimizer), intent(in) :: self
    integer, intent(in) :: index
    integer(c_int), optional, intent(out) :: status
    call finish(c_gradient_ready(self%optimizer, int(index - 1, c_size_t)), status)
  end subroutine

  subroutine optimizer_absent(self, index, status)
    class(ronde_optimizer), intent(in) :: self
    integer, intent(in) :: index
    integer(c_int), optional, intent(out) :: status
    call finish(c_gradient_absent(self%optimizer, int(index - 1, c_size_t)), status)
  end subroutine

  subroutine optimizer_synchronize(self, status)
    class(ronde_optimizer), intent(in) :: self
    integer(c_int), optional, intent(out) :: status
    call finish(c_distributed_optimizer_synchronize(self%optimizer), status)
  end subroutine

  subroutine optimizer_step(self, status)
    class(ronde_optimizer), intent(in) :: self
    integer(c_int), optional, intent(out) :: status
    call finish(c_distributed_optimizer_step(self%optimizer), status)
  end subroutine

  real(c_double) function optimizer_wait_seconds(self)
    class(ronde_optimizer), intent(in) :: self
    optimizer_wait_seconds = c_distributed_optimizer_wait_seconds(self%optimizer)
  end function

  ! May be called again, and before create.
  subroutine optimizer_destroy(self)
    class(ronde_optimizer), intent(inout) :: self

    call c_distributed_optimizer_destroy(self%optimizer)
    self%optimizer = c_null_ptr
    if (associated(self%box)) deallocate (self%box)
    if (associated(self%name)) deallocate (self%name)
  end subroutine

  ! ---- every kind ----

#define KIND int8
#define TYPE integer(int8)
#define DTYPE RONDE_INT8
#include "operations.inc"

#define KIND int16
#define TYPE integer(int16)
#define DTYPE RONDE_INT16
#include "operations.inc"

#define KIND int32
#define TYPE integer(int32)
#define DTYPE RONDE_INT32
#include "operations.inc"

#define KIND int64
#define TYPE integer(int64)
#define DTYPE RONDE_INT64
#include "operations.inc"

#define KIND real32
#define TYPE real(real32)
#define DTYPE RONDE_FLOAT32
#include "operations.inc"

#define KIND real64
#define TYPE real(real64)
#define DTYPE RONDE_FLOAT64
#include "operations.inc"

#define KIND bool
#define TYPE logical(c_bool)
#define DTYPE RONDE_BOOL
#include "operations.inc"

end module
