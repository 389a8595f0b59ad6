/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines for a function of the application. Whoever logs may hold any lock, so the line only goes
 * into a queue; the coordinator thread empties it with no lock held. Where there is no such thread
 * (init, the end of a shutdown) the calling thread does, once it has no lock left.
 */
#include "coordinator/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/application.h"

struct ronde_log_line {
	struct ronde_log_line *next;
	int level;
	char text[];
};

/* ---- under the log's lock ---- */

static bool append(struct ronde_log *log, int level, const char *text)
{
	size_t bytes = strlen(text) + 1;
	struct ronde_log_line *line = malloc(sizeof *line + bytes);
	if (!line)
		return false;
	line->next = NULL;
	line->level = level;
	memcpy(line->text, text, bytes);
	*(log->first ? &log->last->next : &log->first) = line;
	log->last = line;
	log->lines++;
	return true;
}

/* Says, in the place of lines that found no room, how many they were. */
static bool say_dropped(struct ronde_log *log)
{
	char text[100];
	if (!log->dropped)
		return true;
	snprintf(text, sizeof text, "%llu log line(s) were dropped: the log function is too slow",
		 (unsigned long long)log->dropped);
	if (!append(log, RONDE_LOG_WARN, text))
		return false;
	log->dropped = 0;
	return true;
}

void ronde_log_queue(struct ronde_log *log, int level, const char *text)
{
	/* The room for two: a line, and how many are missing before it. */
	if (log->lines > RONDE_LOG_QUEUE - 2 || !say_dropped(log) || !append(log, level, text))
		log->dropped++;
	if (log->ring)
		log->ring(log->ring_arg);
}

static struct ronde_log_line *take_first(struct ronde_log *log)
{
	struct ronde_log_line *line = log->first;
	log->first = line->next;
	log->lines--;
	return line;
}

static bool called_by_me(const struct ronde_log *log)
{
	return log->delivering && pthread_equal(log->deliverer, pthread_self());
}

/* Drops the lock for the call. */
static void deliver_line(struct ronde_log *log, struct ronde_log_line *line)
{
	ronde_log_fn fn = log->fn;
	void *arg = log->arg;
	if (!fn) { /* it was taken away after the line was written */
		ronde_log_put(log, line->level, line->text);
		free(line);
		return;
	}
	log->calling = true;
	pthread_mutex_unlock(&log->lock);
	bool before = ronde_application_enter();
	fn((ronde_log_level)line->level, line->text, arg);
	ronde_application_leave(before);
	free(line);
	pthread_mutex_lock(&log->lock);
	log->calling = false;
	pthread_cond_broadcast(&log->called);
}

static void deliver(struct ronde_log *log)
{
	if (log->delivering)
		return;
	log->delivering = true;
	log->deliverer = pthread_self();
	/* A function that causes lines itself must not keep the coordinator thread for ever. */
	size_t most = log->lines + 1;
	while ((log->first || log->dropped) && (most-- || !log->ring)) {
		if (!log->first && !say_dropped(log))
			break; /* no memory; next time */
		deliver_line(log, take_first(log));
	}
	log->delivering = false;
	if (log->first && log->ring)
		log->ring(log->ring_arg);
}

/* ---- taking the lock ---- */

void ronde_log_deliver(struct ronde_log *log)
{
	pthread_mutex_lock(&log->lock);
	deliver(log);
	pthread_mutex_unlock(&log->lock);
}

void ronde_log_set_function(struct ronde_log *log, ronde_log_fn fn, void *arg)
{
	pthread_mutex_lock(&log->lock);
	deliver(log); /* to the old one */
	log->fn = fn;
	log->arg = arg;
	while (log->calling && !called_by_me(log))
		pthread_cond_wait(&log->called, &log->lock);
	pthread_mutex_unlock(&log->lock);
}

void ronde_log_set_ring(struct ronde_log *log, void (*ring)(void *arg), void *arg)
{
	pthread_mutex_lock(&log->lock);
	log->ring = ring;
	log->ring_arg = arg;
	if (ring && (log->first || log->dropped))
		ring(arg);
	pthread_mutex_unlock(&log->lock);
}
