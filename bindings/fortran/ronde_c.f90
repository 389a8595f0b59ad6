! SPDX-License-Identifier: Apache-2.0
!
! The C interface of Ronde as Fortran sees it: every function, type and constant of ronde/ronde.h,
! and nothing else. Programs use the module ronde, which is made of this one; this one is for what
! Fortran has no types for (16-bit floats), and for functions called back.
!
! A function ronde_x of the header is c_x here; tests/checks/fortran.sh tells what is missing.
module ronde_c
  use, intrinsic :: iso_c_binding
  implicit none
  public

  ! ---- status codes, types, reductions: the values of the header ----

  enum, bind(c)
    enumerator :: RONDE_OK = 0
    enumerator :: RONDE_ERR_NOT_INITIALIZED = -1
    enumerator :: RONDE_ERR_INVALID_ARGUMENT = -2
    enumerator :: RONDE_ERR_UNKNOWN_HANDLE = -3
    enumerator :: RONDE_ERR_DUPLICATE_NAME = -4
    enumerator :: RONDE_ERR_MISMATCH = -5
    enumerator :: RONDE_ERR_SHUTDOWN = -6
    enumerator :: RONDE_ERR_PEER_LOST = -7
    enumerator :: RONDE_ERR_OUT_OF_MEMORY = -8
    enumerator :: RONDE_ERR_CONFIGURATION = -9
    enumerator :: RONDE_ERR_LAUNCHER = -10
    enumerator :: RONDE_ERR_SYSTEM = -11
    enumerator :: RONDE_ERR_BUSY = -12
    enumerator :: RONDE_ERR_VERSION = -13
    enumerator :: RONDE_ERR_TRUNCATED = -14
    enumerator :: RONDE_ERR_CALLBACK = -15
    enumerator :: RONDE_ERR_INTERNAL = -16
    enumerator :: RONDE_ERR_STALLED = -17
  end enum

  enum, bind(c)
    enumerator :: RONDE_UINT8 = 0
    enumerator :: RONDE_INT8 = 1
    enumerator :: RONDE_UINT16 = 2
    enumerator :: RONDE_INT16 = 3
    enumerator :: RONDE_UINT32 = 4
    enumerator :: RONDE_INT32 = 5
    enumerator :: RONDE_UINT64 = 6
    enumerator :: RONDE_INT64 = 7
    enumerator :: RONDE_FLOAT16 = 8
    enumerator :: RONDE_BFLOAT16 = 9
    enumerator :: RONDE_FLOAT32 = 10
    enumerator :: RONDE_FLOAT64 = 11
    enumerator :: RONDE_BOOL = 12
  end enum

  enum, bind(c)
    enumerator :: RONDE_AVERAGE = 0
    enumerator :: RONDE_SUM = 1
    enumerator :: RONDE_ADASUM = 2
    enumerator :: RONDE_MIN = 3
    enumerator :: RONDE_MAX = 4
    enumerator :: RONDE_PRODUCT = 5
  end enum

  enum, bind(c)
    enumerator :: RONDE_COMPRESSION_NONE = 0
    enumerator :: RONDE_COMPRESSION_FP16 = 1
    enumerator :: RONDE_COMPRESSION_BF16 = 2
  end enum

  enum, bind(c)
    enumerator :: RONDE_LOG_ERROR = 0
    enumerator :: RONDE_LOG_WARN = 1
    enumerator :: RONDE_LOG_INFO = 2
    enumerator :: RONDE_LOG_DEBUG = 3
    enumerator :: RONDE_LOG_TRACE = 4
  end enum

  ! ---- structs: ronde_x of the header is c_x; set size to c_sizeof() of the variable ----

  type, bind(c) :: c_init_options
    integer(c_size_t) :: size = 0
    type(c_ptr) :: settings = c_null_ptr
    type(c_ptr) :: process_sets = c_null_ptr
    integer(c_size_t) :: process_set_count = 0
    type(c_ptr) :: mpi_communicator = c_null_ptr
  end type

  type, bind(c) :: c_ranks
    type(c_ptr) :: ranks = c_null_ptr
    integer(c_size_t) :: count = 0
  end type

  type, bind(c) :: c_options
    integer(c_size_t) :: size = 0
    integer(c_int) :: process_set = 0
    integer(c_int) :: ndim = 0
    type(c_ptr) :: shape = c_null_ptr
    real(c_double) :: prescale = 1
    real(c_double) :: postscale = 1
    integer(c_int) :: partial_splits = 0
  end type

  type, bind(c) :: c_gathered
    type(c_ptr) :: data = c_null_ptr
    integer(c_size_t) :: capacity_bytes = 0
    type(c_funptr) :: alloc = c_null_funptr
    type(c_ptr) :: alloc_arg = c_null_ptr
    integer(c_int64_t) :: rows = 0
    type(c_ptr) :: rows_per_rank = c_null_ptr
    integer(c_int) :: divisor = 0
  end type

  type, bind(c) :: c_group_tensor
    type(c_ptr) :: input = c_null_ptr
    type(c_ptr) :: output = c_null_ptr
    type(c_ptr) :: gathered = c_null_ptr
    type(c_ptr) :: shape = c_null_ptr
    integer(c_int) :: ndim = 0
    integer(c_int64_t) :: count = 0
    integer(c_int) :: dtype = RONDE_FLOAT32
  end type

  type, bind(c) :: c_parameter
    type(c_ptr) :: name = c_null_ptr
    type(c_ptr) :: data = c_null_ptr
    type(c_ptr) :: gradient = c_null_ptr
    integer(c_int64_t) :: count = 0
    integer(c_int) :: dtype = RONDE_FLOAT32
  end type

  type, bind(c) :: c_distributed_optimizer_options
    integer(c_size_t) :: size = 0
    integer(c_int) :: reduction = RONDE_AVERAGE
    integer(c_int) :: compression = RONDE_COMPRESSION_NONE
    integer(c_int) :: backward_passes_per_step = 1
    real(c_double) :: gradient_predivide_factor = 1
    integer(c_int) :: process_set = 0
    type(c_ptr) :: name = c_null_ptr
    integer(c_int) :: unreported_is_zero = 0
    integer(c_int) :: sparse_as_dense = 0
    type(c_ptr) :: sparse_widths = c_null_ptr
    integer(c_int) :: num_groups = 0
    type(c_ptr) :: groups = c_null_ptr
  end type

  type, bind(c) :: c_optimizer_counters
    integer(c_size_t) :: size = 0
    integer(c_int64_t) :: steps = 0
    integer(c_int64_t) :: tensors = 0
    integer(c_int64_t) :: bytes = 0
    real(c_double) :: wait_seconds = 0
  end type

  type, bind(c) :: c_bytes
    type(c_ptr) :: data = c_null_ptr
    integer(c_size_t) :: bytes = 0
  end type

  type, bind(c) :: c_state_item
    type(c_ptr) :: name = c_null_ptr
    integer(c_int) :: dtype = RONDE_FLOAT32
    type(c_ptr) :: data = c_null_ptr
    type(c_ptr) :: count = c_null_ptr
  end type

  type, bind(c) :: c_state_options
    integer(c_size_t) :: size = 0
    integer(c_int) :: process_set = 0
    type(c_funptr) :: alloc = c_null_funptr
    type(c_funptr) :: release = c_null_funptr
    type(c_ptr) :: arg = c_null_ptr
  end type

  type, bind(c) :: c_sparse_rows
    integer(c_int64_t) :: rows = 0
    integer(c_int64_t) :: width = 0
    type(c_ptr) :: indices = c_null_ptr
    type(c_ptr) :: values = c_null_ptr
    integer(c_int) :: dtype = RONDE_FLOAT32
  end type

  type, bind(c) :: c_sparse
    type(c_gathered) :: indices
    type(c_gathered) :: values
    type(c_sparse_rows) :: result
    integer(c_int64_t) :: handle = 0
    real(c_double) :: scale(2) = 1
    integer(c_int) :: reduction = 0
    integer(c_int) :: owned(2) = 0
  end type

  type, bind(c) :: c_timeline_options
    integer(c_size_t) :: size = 0
    integer(c_int) :: all_ranks = 0
    integer(c_int) :: mark_cycles = 0
  end type

  type, bind(c) :: c_counters
    integer(c_size_t) :: size = 0
    integer(c_int64_t) :: submitted = 0
    integer(c_int64_t) :: completed = 0
    integer(c_int64_t) :: descriptions_sent = 0
    integer(c_int64_t) :: ready_sent = 0
    integer(c_int64_t) :: entries = 0
    integer(c_int64_t) :: entries_carried = 0
    integer(c_int64_t) :: entries_zero_copy = 0
    integer(c_int64_t) :: entries_staged = 0
    integer(c_int64_t) :: tensors = 0
    integer(c_int64_t) :: bytes = 0
    integer(c_int64_t) :: evictions = 0
    integer(c_int64_t) :: errors = 0
    integer(c_int64_t) :: turns = 0
    integer(c_int64_t) :: sleeps = 0
  end type

  ! ---- functions ----

  interface
    function c_version() bind(c, name="ronde_version") result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function

    function c_status_name(status) bind(c, name="ronde_status_name") result(text)
      import :: c_int, c_ptr
      integer(c_int), value :: status
      type(c_ptr) :: text
    end function

    function c_status_text(status) bind(c, name="ronde_status_text") result(text)
      import :: c_int, c_ptr
      integer(c_int), value :: status
      type(c_ptr) :: text
    end function

    function c_error_message() bind(c, name="ronde_error_message") result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function

    function c_dtype_bytes(dtype) bind(c, name="ronde_dtype_bytes") result(bytes)
      import :: c_int, c_size_t
      integer(c_int), value :: dtype
      integer(c_size_t) :: bytes
    end function

    function c_dtype_name(dtype) bind(c, name="ronde_dtype_name") result(text)
      import :: c_int, c_ptr
      integer(c_int), value :: dtype
      type(c_ptr) :: text
    end function

    function c_reduction_name(reduction) bind(c, name="ronde_reduction_name") result(text)
      import :: c_int, c_ptr
      integer(c_int), value :: reduction
      type(c_ptr) :: text
    end function

    ! options: of c_init_options, or c_null_ptr
    function c_init(options) bind(c, name="ronde_init") result(status)
      import :: c_int, c_ptr
      type(c_ptr), value :: options
      integer(c_int) :: status
    end function

    function c_shutdown() bind(c, name="ronde_shutdown") result(status)
      import :: c_int
      integer(c_int) :: status
    end function

    function c_is_initialized() bind(c, name="ronde_is_initialized") result(yes)
      import :: c_int
      integer(c_int) :: yes
    end function

    function c_rank() bind(c, name="ronde_rank") result(number)
      import :: c_int
      integer(c_int) :: number
    end function

    function c_size() bind(c, name="ronde_size") result(number)
      import :: c_int
      integer(c_int) :: number
    end function

    function c_local_rank() bind(c, name="ronde_local_rank") result(number)
      import :: c_int
      integer(c_int) :: number
    end function

    function c_local_size() bind(c, name="ronde_local_size") result(number)
      import :: c_int
      integer(c_int) :: number
    end function

    function c_cross_rank() bind(c, name="ronde_cross_rank") result(number)
      import :: c_int
      integer(c_int) :: number
    end function

    function c_cross_size() bind(c, name="ronde_cross_size") result(number)
      import :: c_int
      integer(c_int) :: number
    end function

    function c_is_homogeneous() bind(c, name="ronde_is_homogeneous") result(yes)
      import :: c_int
      integer(c_int) :: yes
    end function

    function c_process_set_add(ranks, count, set) bind(c, name="ronde_process_set_add") &
        result(status)
      import :: c_int, c_size_t
      integer(c_int), intent(in) :: ranks(*)
      integer(c_size_t), value :: count
      integer(c_int), intent(inout) :: set
      integer(c_int) :: status
    end function

    function c_process_set_remove(set) bind(c, name="ronde_process_set_remove") result(status)
      import :: c_int
      integer(c_int), value :: set
      integer(c_int) :: status
    end function

    function c_process_set_size(set) bind(c, name="ronde_process_set_size") result(number)
      import :: c_int
      integer(c_int), value :: set
      integer(c_int) :: number
    end function

    function c_process_set_rank(set) bind(c, name="ronde_process_set_rank") result(number)
      import :: c_int
      integer(c_int), value :: set
      integer(c_int) :: number
    end function

    function c_process_set_included(set) bind(c, name="ronde_process_set_included") result(yes)
      import :: c_int
      integer(c_int), value :: set
      integer(c_int) :: yes
    end function

    function c_process_set_ranks(set, ranks, room) bind(c, name="ronde_process_set_ranks") &
        result(number)
      import :: c_int, c_size_t
      integer(c_int), value :: set
      integer(c_int), intent(inout) :: ranks(*)
      integer(c_size_t), value :: room
      integer(c_int) :: number
    end function

    function c_process_set_ids(sets, room) bind(c, name="ronde_process_set_ids") result(number)
      import :: c_int, c_size_t
      integer(c_int), intent(inout) :: sets(*)
      integer(c_size_t), value :: room
      integer(c_int) :: number
    end function

    function c_alloc(bytes) bind(c, name="ronde_alloc") result(memory)
      import :: c_ptr, c_size_t
      integer(c_size_t), value :: bytes
      type(c_ptr) :: memory
    end function

    function c_free(memory) bind(c, name="ronde_free") result(status)
      import :: c_int, c_ptr
      type(c_ptr), value :: memory
      integer(c_int) :: status
    end function

    function c_test(handle, done) bind(c, name="ronde_test") result(status)
      import :: c_int, c_int64_t
      integer(c_int64_t), value :: handle
      integer(c_int), intent(out) :: done
      integer(c_int) :: status
    end function

    function c_wait(handle) bind(c, name="ronde_wait") result(status)
      import :: c_int, c_int64_t
      integer(c_int64_t), value :: handle
      integer(c_int) :: status
    end function

    function c_handle_on_done(handle, fn, arg) bind(c, name="ronde_handle_on_done") result(status)
      import :: c_funptr, c_int, c_int64_t, c_ptr
      integer(c_int64_t), value :: handle
      type(c_funptr), value :: fn
      type(c_ptr), value :: arg
      integer(c_int) :: status
    end function

    ! name: zero-terminated, or c_null_ptr
    function c_allreduce(name, input, output, count, dtype, reduction) &
        bind(c, name="ronde_allreduce") result(status)
      import :: c_int, c_int64_t, c_ptr
      type(c_ptr), value :: name, input, output
      integer(c_int64_t), value :: count
      integer(c_int), value :: dtype, reduction
      integer(c_int) :: status
    end function

    function c_allreduce_async(name, input, output, count, dtype, reduction, options, handle) &
        bind(c, name="ronde_allreduce_async") result(status)
      import :: c_int, c_int64_t, c_options, c_ptr
      type(c_ptr), value :: name, input, output
      integer(c_int64_t), value :: count
      integer(c_int), value :: dtype, reduction
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_broadcast(name, input, output, count, dtype, root) &
        bind(c, name="ronde_broadcast") result(status)
      import :: c_int, c_int64_t, c_ptr
      type(c_ptr), value :: name, input, output
      integer(c_int64_t), value :: count
      integer(c_int), value :: dtype, root
      integer(c_int) :: status
    end function

    function c_broadcast_async(name, input, output, count, dtype, root, options, handle) &
        bind(c, name="ronde_broadcast_async") result(status)
      import :: c_int, c_int64_t, c_options, c_ptr
      type(c_ptr), value :: name, input, output
      integer(c_int64_t), value :: count
      integer(c_int), value :: dtype, root
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_allgather(name, input, shape, ndim, dtype, output) &
        bind(c, name="ronde_allgather") result(status)
      import :: c_gathered, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: name, input
      integer(c_int64_t), intent(in) :: shape(*)
      integer(c_int), value :: ndim, dtype
      type(c_gathered), intent(inout) :: output
      integer(c_int) :: status
    end function

    function c_allgather_async(name, input, shape, ndim, dtype, output, options, handle) &
        bind(c, name="ronde_allgather_async") result(status)
      import :: c_gathered, c_int, c_int64_t, c_options, c_ptr
      type(c_ptr), value :: name, input
      integer(c_int64_t), intent(in) :: shape(*)
      integer(c_int), value :: ndim, dtype
      type(c_gathered), intent(inout) :: output
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_alltoall(name, input, shape, ndim, dtype, splits, nsplits, output) &
        bind(c, name="ronde_alltoall") result(status)
      import :: c_gathered, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: name, input
      integer(c_int64_t), intent(in) :: shape(*)
      integer(c_int), value :: ndim, dtype, nsplits
      integer(c_int64_t), intent(in), optional :: splits(*)
      type(c_gathered), intent(inout) :: output
      integer(c_int) :: status
    end function

    function c_alltoall_async(name, input, shape, ndim, dtype, splits, nsplits, output, options, &
        handle) bind(c, name="ronde_alltoall_async") result(status)
      import :: c_gathered, c_int, c_int64_t, c_options, c_ptr
      type(c_ptr), value :: name, input
      integer(c_int64_t), intent(in) :: shape(*)
      integer(c_int), value :: ndim, dtype, nsplits
      integer(c_int64_t), intent(in), optional :: splits(*)
      type(c_gathered), intent(inout) :: output
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_reducescatter_rows(rows, members, member, first, count) &
        bind(c, name="ronde_reducescatter_rows") result(status)
      import :: c_int, c_int64_t
      integer(c_int64_t), value :: rows
      integer(c_int), value :: members, member
      integer(c_int64_t), intent(out) :: first, count
      integer(c_int) :: status
    end function

    function c_reducescatter(name, input, output, shape, ndim, dtype, reduction) &
        bind(c, name="ronde_reducescatter") result(status)
      import :: c_int, c_int64_t, c_ptr
      type(c_ptr), value :: name, input, output
      integer(c_int64_t), intent(in) :: shape(*)
      integer(c_int), value :: ndim, dtype, reduction
      integer(c_int) :: status
    end function

    function c_reducescatter_async(name, input, output, shape, ndim, dtype, reduction, options, &
        handle) bind(c, name="ronde_reducescatter_async") result(status)
      import :: c_int, c_int64_t, c_options, c_ptr
      type(c_ptr), value :: name, input, output
      integer(c_int64_t), intent(in) :: shape(*)
      integer(c_int), value :: ndim, dtype, reduction
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_grouped_allreduce(name, tensors, count, reduction) &
        bind(c, name="ronde_grouped_allreduce") result(status)
      import :: c_group_tensor, c_int, c_ptr, c_size_t
      type(c_ptr), value :: name
      type(c_group_tensor), intent(in) :: tensors(*)
      integer(c_size_t), value :: count
      integer(c_int), value :: reduction
      integer(c_int) :: status
    end function

    function c_grouped_allreduce_async(name, tensors, count, reduction, options, handle) &
        bind(c, name="ronde_grouped_allreduce_async") result(status)
      import :: c_group_tensor, c_int, c_int64_t, c_options, c_ptr, c_size_t
      type(c_ptr), value :: name
      type(c_group_tensor), intent(in) :: tensors(*)
      integer(c_size_t), value :: count
      integer(c_int), value :: reduction
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_grouped_allgather(name, tensors, count) &
        bind(c, name="ronde_grouped_allgather") result(status)
      import :: c_group_tensor, c_int, c_ptr, c_size_t
      type(c_ptr), value :: name
      type(c_group_tensor), intent(in) :: tensors(*)
      integer(c_size_t), value :: count
      integer(c_int) :: status
    end function

    function c_grouped_allgather_async(name, tensors, count, options, handle) &
        bind(c, name="ronde_grouped_allgather_async") result(status)
      import :: c_group_tensor, c_int, c_int64_t, c_options, c_ptr, c_size_t
      type(c_ptr), value :: name
      type(c_group_tensor), intent(in) :: tensors(*)
      integer(c_size_t), value :: count
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_grouped_reducescatter(name, tensors, count, reduction) &
        bind(c, name="ronde_grouped_reducescatter") result(status)
      import :: c_group_tensor, c_int, c_ptr, c_size_t
      type(c_ptr), value :: name
      type(c_group_tensor), intent(in) :: tensors(*)
      integer(c_size_t), value :: count
      integer(c_int), value :: reduction
      integer(c_int) :: status
    end function

    function c_grouped_reducescatter_async(name, tensors, count, reduction, options, handle) &
        bind(c, name="ronde_grouped_reducescatter_async") result(status)
      import :: c_group_tensor, c_int, c_int64_t, c_options, c_ptr, c_size_t
      type(c_ptr), value :: name
      type(c_group_tensor), intent(in) :: tensors(*)
      integer(c_size_t), value :: count
      integer(c_int), value :: reduction
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_barrier() bind(c, name="ronde_barrier") result(status)
      import :: c_int
      integer(c_int) :: status
    end function

    function c_barrier_async(options, handle) bind(c, name="ronde_barrier_async") result(status)
      import :: c_int, c_int64_t, c_options
      type(c_options), intent(in), optional :: options
      integer(c_int64_t), intent(out) :: handle
      integer(c_int) :: status
    end function

    function c_join(last_rank) bind(c, name="ronde_join") result(status)
      import :: c_int
      integer(c_int), intent(out), optional :: last_rank
      integer(c_int) :: status
    end function

    function c_broadcast_bytes(name, data, bytes, root) &
        bind(c, name="ronde_broadcast_bytes") result(status)
      import :: c_int, c_ptr, c_size_t
      type(c_ptr), value :: name
      type(c_ptr), intent(inout) :: data
      integer(c_size_t), intent(inout) :: bytes
      integer(c_int), value :: root
      integer(c_int) :: status
    end function

    function c_broadcast_parameters(parameters, count, root) &
        bind(c, name="ronde_broadcast_parameters") result(status)
      import :: c_int, c_parameter, c_size_t
      type(c_parameter), intent(in) :: parameters(*)
      integer(c_size_t), value :: count
      integer(c_int), value :: root
      integer(c_int) :: status
    end function

    function c_broadcast_parameters_on(parameters, count, root, process_set) &
        bind(c, name="ronde_broadcast_parameters_on") result(status)
      import :: c_int, c_parameter, c_size_t
      type(c_parameter), intent(in) :: parameters(*)
      integer(c_size_t), value :: count
      integer(c_int), value :: root, process_set
      integer(c_int) :: status
    end function

    function c_broadcast_objects(name, objects, count, root, process_set) &
        bind(c, name="ronde_broadcast_objects") result(status)
      import :: c_bytes, c_int, c_ptr, c_size_t
      type(c_ptr), value :: name
      type(c_bytes), intent(inout) :: objects(*)
      integer(c_size_t), value :: count
      integer(c_int), value :: root, process_set
      integer(c_int) :: status
    end function

    function c_broadcast_state(name, items, count, root, options) &
        bind(c, name="ronde_broadcast_state") result(status)
      import :: c_int, c_ptr, c_size_t, c_state_item, c_state_options
      type(c_ptr), value :: name
      type(c_state_item), intent(in) :: items(*)
      integer(c_size_t), value :: count
      integer(c_int), value :: root
      type(c_state_options), intent(in), optional :: options
      integer(c_int) :: status
    end function

    function c_sparse_allreduce(name, input, reduction, options, sparse) &
        bind(c, name="ronde_sparse_allreduce") result(status)
      import :: c_int, c_options, c_ptr, c_sparse, c_sparse_rows
      type(c_ptr), value :: name
      type(c_sparse_rows), intent(in) :: input
      integer(c_int), value :: reduction
      type(c_options), intent(in), optional :: options
      type(c_sparse), intent(inout) :: sparse
      integer(c_int) :: status
    end function

    function c_sparse_allreduce_async(name, input, reduction, options, sparse) &
        bind(c, name="ronde_sparse_allreduce_async") result(status)
      import :: c_int, c_options, c_ptr, c_sparse, c_sparse_rows
      type(c_ptr), value :: name
      type(c_sparse_rows), intent(in) :: input
      integer(c_int), value :: reduction
      type(c_options), intent(in), optional :: options
      type(c_sparse), intent(inout) :: sparse
      integer(c_int) :: status
    end function

    function c_sparse_wait(sparse) bind(c, name="ronde_sparse_wait") result(status)
      import :: c_int, c_sparse
      type(c_sparse), intent(inout) :: sparse
      integer(c_int) :: status
    end function

    function c_sparse_add(dense, dense_rows, rows) bind(c, name="ronde_sparse_add") result(status)
      import :: c_int, c_int64_t, c_ptr, c_sparse_rows
      type(c_ptr), value :: dense
      integer(c_int64_t), value :: dense_rows
      type(c_sparse_rows), intent(in) :: rows
      integer(c_int) :: status
    end function

    function c_gradient_absent(optimizer, index) &
        bind(c, name="ronde_gradient_absent") result(status)
      import :: c_int, c_ptr, c_size_t
      type(c_ptr), value :: optimizer
      integer(c_size_t), value :: index
      integer(c_int) :: status
    end function

    function c_gradient_ready_sparse(optimizer, index, rows) &
        bind(c, name="ronde_gradient_ready_sparse") result(status)
      import :: c_int, c_ptr, c_size_t, c_sparse_rows
      type(c_ptr), value :: optimizer
      integer(c_size_t), value :: index
      type(c_sparse_rows), intent(in) :: rows
      integer(c_int) :: status
    end function

    function c_sparse_gradient(optimizer, index, rows) &
        bind(c, name="ronde_sparse_gradient") result(status)
      import :: c_int, c_ptr, c_size_t, c_sparse_rows
      type(c_ptr), value :: optimizer
      integer(c_size_t), value :: index
      type(c_sparse_rows), intent(inout) :: rows
      integer(c_int) :: status
    end function

    function c_distributed_optimizer_get_counters(optimizer, counters) &
        bind(c, name="ronde_distributed_optimizer_get_counters") result(status)
      import :: c_int, c_optimizer_counters, c_ptr
      type(c_ptr), value :: optimizer
      type(c_optimizer_counters), intent(inout) :: counters
      integer(c_int) :: status
    end function

    function c_clip_by_global_norm(parameters, count, max_norm, error_if_nonfinite, norm) &
        bind(c, name="ronde_clip_by_global_norm") result(status)
      import :: c_double, c_int, c_parameter, c_size_t
      type(c_parameter), intent(in) :: parameters(*)
      integer(c_size_t), value :: count
      real(c_double), value :: max_norm
      integer(c_int), value :: error_if_nonfinite
      real(c_double), intent(out), optional :: norm
      integer(c_int) :: status
    end function

    function c_distributed_optimizer_create(optimizer, step, state, parameters, count, options) &
        bind(c, name="ronde_distributed_optimizer_create") result(status)
      import :: c_distributed_optimizer_options, c_funptr, c_int, c_parameter, c_ptr, c_size_t
      type(c_ptr), intent(inout) :: optimizer
      type(c_funptr), value :: step
      type(c_ptr), value :: state
      type(c_parameter), intent(in) :: parameters(*)
      integer(c_size_t), value :: count
      type(c_distributed_optimizer_options), intent(in), optional :: options
      integer(c_int) :: status
    end function

    function c_gradient_ready(optimizer, index) bind(c, name="ronde_gradient_ready") result(status)
      import :: c_int, c_ptr, c_size_t
      type(c_ptr), value :: optimizer
      integer(c_size_t), value :: index
      integer(c_int) :: status
    end function

    function c_distributed_optimizer_synchronize(optimizer) &
        bind(c, name="ronde_distributed_optimizer_synchronize") result(status)
      import :: c_int, c_ptr
      type(c_ptr), value :: optimizer
      integer(c_int) :: status
    end function

    function c_distributed_optimizer_step(optimizer) &
        bind(c, name="ronde_distributed_optimizer_step") result(status)
      import :: c_int, c_ptr
      type(c_ptr), value :: optimizer
      integer(c_int) :: status
    end function

    function c_distributed_optimizer_wait_seconds(optimizer) &
        bind(c, name="ronde_distributed_optimizer_wait_seconds") result(seconds)
      import :: c_double, c_ptr
      type(c_ptr), value :: optimizer
      real(c_double) :: seconds
    end function

    subroutine c_distributed_optimizer_destroy(optimizer) &
        bind(c, name="ronde_distributed_optimizer_destroy")
      import :: c_ptr
      type(c_ptr), value :: optimizer
    end subroutine

    function c_get_counters(counters) bind(c, name="ronde_get_counters") result(status)
      import :: c_counters, c_int
      type(c_counters), intent(inout) :: counters
      integer(c_int) :: status
    end function

    function c_stall_report(text, bytes) bind(c, name="ronde_stall_report") result(status)
      import :: c_int, c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t), value :: bytes
      integer(c_int) :: status
    end function

    ! options: of c_timeline_options, or c_null_ptr
    function c_timeline_start(path, options) bind(c, name="ronde_timeline_start") result(status)
      import :: c_int, c_ptr
      type(c_ptr), value :: path
      type(c_ptr), value :: options
      integer(c_int) :: status
    end function

    function c_timeline_stop() bind(c, name="ronde_timeline_stop") result(status)
      import :: c_int
      integer(c_int) :: status
    end function

    function c_set_log_function(fn, arg) bind(c, name="ronde_set_log_function") result(status)
      import :: c_funptr, c_int, c_ptr
      type(c_funptr), value :: fn
      type(c_ptr), value :: arg
      integer(c_int) :: status
    end function
  end interface
end module
