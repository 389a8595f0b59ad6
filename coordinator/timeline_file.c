/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/timeline_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "collectives/thread.h"

/* Longest time that an event stays in memory. */
#define FLUSH_NS 100000000
/* Events are written when there is that much. */
#define BATCH_BYTES ((size_t)64 << 10)
/* Computing goes before writing. */
#define NICENESS 10
/* A disk that does not answer may hold up the end of the program that long. */
#define CLOSE_SECONDS 5.0

/* ---- the producer ---- */

void *ronde_recording_reserve(struct ronde_recording *rec, size_t bytes)
{
	void *record = NULL;
	if (bytes <= ronde_ring_limit(rec->producer.count))
		record = ronde_ring_reserve(&rec->producer, bytes);
	if (!record)
		atomic_fetch_add_explicit(&rec->dropped, 1, memory_order_relaxed);
	return record;
}

static void call_thread(struct ronde_recording *rec)
{
	if (!atomic_exchange_explicit(&rec->called, true, memory_order_acq_rel))
		sem_post(&rec->wake);
}

void ronde_recording_publish(struct ronde_recording *rec)
{
	ronde_ring_publish(&rec->producer);
	uint64_t consumed = atomic_load_explicit(rec->producer.consumed, memory_order_relaxed);
	if (rec->producer.head - consumed > rec->producer.count / 2 &&
	    !atomic_load_explicit(&rec->called, memory_order_relaxed))
		call_thread(rec);
}

void ronde_recording_finish(struct ronde_recording *rec)
{
	if (!atomic_exchange_explicit(&rec->finished, true, memory_order_acq_rel))
		sem_post(&rec->wake);
}

/* ---- writing ---- */

static bool write_all(int fd, const char *bytes, size_t count)
{
	while (count) {
		ssize_t n = write(fd, bytes, count);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		count -= (size_t)n;
	}
	return true;
}

/* What is no file (a pipe, a device) cannot be taken back. */
static void take_back(struct ronde_recording *rec, off_t to)
{
	if (ftruncate(rec->fd, to) == 0)
		lseek(rec->fd, to, SEEK_SET);
}

/* The log, which stays until let_go_log(); NULL once nobody waits for the thread. */
static struct ronde_log *hold_log(struct ronde_recording *rec)
{
	pthread_mutex_lock(&rec->log_lock);
	return rec->log;
}

static void let_go_log(struct ronde_recording *rec)
{
	pthread_mutex_unlock(&rec->log_lock);
}

static void begin_batch(struct ronde_recording *rec)
{
	rec->text.at = rec->buffer;
	rec->text.batch++;
	rec->batched = 0;
}

static void cannot_write(struct ronde_recording *rec)
{
	if (rec->error)
		return;
	rec->error = errno;
	struct ronde_log *log = hold_log(rec);
	ronde_log(log, WARN,
		  "cannot write to the timeline \"%s\": %s; what does not fit into it is dropped",
		  rec->path, strerror(rec->error));
	let_go_log(rec);
}

static void flush(struct ronde_recording *rec)
{
	size_t bytes = (size_t)(rec->text.at - rec->buffer);
	if (bytes && write_all(rec->fd, rec->buffer, bytes)) {
		rec->before = rec->good;
		rec->good += (off_t)bytes;
		rec->last = rec->batched;
		rec->recorded += rec->batched;
	} else if (bytes) {
		cannot_write(rec);
		take_back(rec, rec->good);
		rec->lost += rec->batched;
		ronde_timeline_rows_unname(&rec->text.rows, rec->text.batch);
	}
	begin_batch(rec);
}

/* Room for the record's events; false: no memory. */
static bool make_room(struct ronde_recording *rec, size_t bytes)
{
	if ((size_t)(rec->text.end - rec->text.at) >= bytes)
		return true;
	flush(rec);
	if (bytes <= rec->room)
		return true;
	char *buffer = realloc(rec->buffer, bytes);
	if (!buffer)
		return false;
	rec->buffer = rec->text.at = buffer;
	rec->room = bytes;
	rec->text.end = buffer + bytes;
	return true;
}

static uint64_t all_dropped(struct ronde_recording *rec)
{
	return atomic_load_explicit(&rec->dropped, memory_order_relaxed) + rec->lost;
}

static void drain(struct ronde_recording *rec)
{
	const struct ronde_timeline_record *record;
	size_t bytes;
	if (all_dropped(rec) != rec->noticed) {
		rec->noticed = all_dropped(rec);
		ronde_timeline_rows_forget(&rec->text.rows);
	}
	while ((record = ronde_ring_peek(&rec->consumer, &bytes))) {
		if (make_room(rec, ronde_timeline_text_bytes(record)) &&
		    ronde_timeline_text_record(&rec->text, record))
			rec->batched++;
		else
			rec->lost++;
		ronde_ring_consume(&rec->consumer);
	}
	flush(rec);
}

/* ---- the end ---- */

static bool write_tail(struct ronde_recording *rec)
{
	begin_batch(rec);
	ronde_timeline_text_tail(&rec->text, ronde_nanoseconds(), rec->recorded, all_dropped(rec));
	return write_all(rec->fd, rec->buffer, (size_t)(rec->text.at - rec->buffer));
}

static void close_file(struct ronde_recording *rec)
{
	bool written = write_tail(rec);
	if (!written) {
		cannot_write(rec);
		rec->recorded -= rec->last;
		rec->lost += rec->last;
		take_back(rec, rec->before);
		written = write_tail(rec);
	}
	if (!written)
		take_back(rec, rec->before);
	/* A network file system may say only now that it could not write. */
	if (close(rec->fd) && errno != EINTR)
		cannot_write(rec);
	uint64_t dropped = all_dropped(rec);
	struct ronde_log *log = hold_log(rec);
	if (dropped)
		ronde_log(log, WARN, "the timeline \"%s\" lacks %llu of %llu events: %s", rec->path,
			  (unsigned long long)dropped,
			  (unsigned long long)(dropped + rec->recorded),
			  rec->error ? strerror(rec->error)
				     : "they came faster than they could be written; "
				       "RONDE_TIMELINE_BUFFER_BYTES sets how many can wait");
	let_go_log(rec);
}

/* False: not posted for so long. */
static bool wait_for(sem_t *what, double seconds)
{
	struct timespec until = ronde_timespec(ronde_seconds() + seconds);
	int status;
	while ((status = sem_clockwait(what, CLOCK_MONOTONIC, &until)) && errno == EINTR)
		;
	return status == 0;
}

/*
 * Seconds until the next time to write: the same moments on all ranks of a machine. Where the
 * writing holds up one rank's engine, the others would wait for that; so they are held up together
 * (Petrini et al., "The Case of the Missing Supercomputer Performance", SC 2003, section 5).
 */
static double until_flush(void)
{
	return (double)(FLUSH_NS - ronde_nanoseconds() % FLUSH_NS) * 1e-9;
}

static void *write_events(void *arg)
{
	struct ronde_recording *rec = arg;
	bool finished;
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
	do {
		if (!atomic_load_explicit(&rec->finished, memory_order_acquire))
			wait_for(&rec->wake, until_flush());
		atomic_store_explicit(&rec->called, false, memory_order_release);
		finished = atomic_load_explicit(&rec->finished, memory_order_acquire);
		drain(rec);
	} while (!finished);
	close_file(rec);
	sem_post(&rec->closed);
	return NULL;
}

/* ---- starting and stopping ---- */

/* Not blocking: a pipe without a reader must not hold up training. */
static int open_file(struct ronde_recording *rec)
{
	rec->fd = open(rec->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		       0666);
	if (rec->fd < 0)
		return ronde_error(RONDE_ERR_SYSTEM,
				   "cannot open the timeline \"%s\": %s; the folder must exist and "
				   "be writable",
				   rec->path, strerror(errno));
	size_t bytes = (size_t)(rec->text.at - rec->buffer);
	if (!write_all(rec->fd, rec->buffer, bytes)) {
		int error = errno;
		take_back(rec, 0);
		close(rec->fd);
		return ronde_error(RONDE_ERR_SYSTEM, "cannot write to the timeline \"%s\": %s",
				   rec->path, strerror(error));
	}
	rec->good = rec->before = (off_t)bytes;
	return RONDE_OK;
}

static int make_queue(struct ronde_recording *rec, size_t queue_bytes)
{
	uint32_t cells = (uint32_t)(queue_bytes / RONDE_CELL_BYTES);
	size_t bytes = ((size_t)cells + 1) * RONDE_CELL_BYTES;
	rec->queue = aligned_alloc(RONDE_CELL_BYTES, bytes);
	rec->room = BATCH_BYTES + RONDE_TIMELINE_FRAME_BYTES;
	rec->buffer = malloc(rec->room);
	if (!rec->queue || !rec->buffer)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for a timeline with a queue of %zu bytes "
				   "(RONDE_TIMELINE_BUFFER_BYTES)",
				   queue_bytes);
	memset(rec->queue, 0, bytes);
	ronde_ring_producer_init(&rec->producer, rec->queue, cells);
	ronde_ring_consumer_init(&rec->consumer, rec->queue, cells);
	return RONDE_OK;
}

static void free_recording(struct ronde_recording *rec)
{
	ronde_timeline_rows_finish(&rec->text.rows);
	sem_destroy(&rec->wake);
	sem_destroy(&rec->closed);
	pthread_mutex_destroy(&rec->log_lock);
	free(rec->queue);
	free(rec->buffer);
	free(rec);
}

int ronde_recording_start(struct ronde_recording **recording, const char *path,
			  const struct ronde_timeline_head *head, size_t queue_bytes,
			  bool mark_cycles, struct ronde_log *log)
{
	struct ronde_recording *rec = calloc(1, sizeof *rec);
	if (!rec)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a timeline");
	strncpy(rec->path, path, sizeof rec->path - 1);
	rec->log = log;
	pthread_mutex_init(&rec->log_lock, NULL);
	rec->start = head->start;
	rec->mark_cycles = mark_cycles;
	sem_init(&rec->wake, 0, 0);
	sem_init(&rec->closed, 0, 0);
	int status = make_queue(rec, queue_bytes);
	if (!status) {
		rec->text = (struct ronde_timeline_text){.at = rec->buffer,
							 .end = rec->buffer + rec->room,
							 .rank = head->rank,
							 .start = head->start};
		ronde_timeline_text_head(&rec->text, head);
		status = open_file(rec);
	}
	if (status) {
		free_recording(rec);
		return status;
	}
	begin_batch(rec);
	int error = ronde_thread_create(&rec->thread, "ronde-timeline", write_events, rec);
	if (error) {
		close(rec->fd);
		free_recording(rec);
		return ronde_error(RONDE_ERR_SYSTEM, "cannot start a thread for the timeline: %s",
				   strerror(error));
	}
	*recording = rec;
	return RONDE_OK;
}

void ronde_recording_destroy(struct ronde_recording *rec)
{
	if (!rec)
		return;
	ronde_recording_finish(rec);
	if (wait_for(&rec->closed, CLOSE_SECONDS)) {
		pthread_join(rec->thread, NULL);
		free_recording(rec);
		return;
	}
	/* The thread keeps it all; it cannot be ended while the kernel waits for the disk. */
	struct ronde_log *log = hold_log(rec);
	rec->log = NULL;
	let_go_log(rec);
	ronde_log(log, WARN,
		  "the timeline \"%s\" is not closed after %g s: its disk does not answer",
		  rec->path, CLOSE_SECONDS);
	pthread_detach(rec->thread);
}
