/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the sampler: its thread, the list of ports it may look at, the rows. */
#define LOG_TAG "sampler"
#include "host/sampler.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"

#define DEFAULT_MS 60000
#define N_COUNTS   4 /* tx packets, tx bytes, rx packets, rx bytes */

struct counts {
	uint64_t v[N_COUNTS];
};

/* A port in one run of the sampler. */
struct path {
	const struct vsw_port *port; /* NULL: gone */
	char name[sizeof(((struct vsw_port *)0)->name)];
	struct counts last;
	uint64_t since_ns, until_ns; /* @until_ns 0: was there to the end */
	uint64_t read_ns;	     /* the last look */
};

struct row {
	uint32_t at_us, len_us; /* since the run's start */
	uint32_t path;
	uint32_t delta[N_COUNTS];
};

struct run {
	unsigned int step_us;
	json_t *vnics;
	struct path *paths;
	size_t n_paths, paths_lost;
	struct row *rows;
	size_t n_rows, max_rows;
	uint64_t start_ns, deadline_ns, end_ns;
	uint64_t full_ns; /* no room for a row since then; 0: there was */
	uint64_t looks, late, longest_ns, last_ns, cpu_ns;
};

/* The control thread's. */
static struct run *run;
static pthread_t thread;

/* Between the control thread and the sampler's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static bool stop; /* under @lock */
static const struct vsw_port **ports;
static size_t n_ports, ports_size;

static _Atomic bool running;

static struct counts look(const struct vsw_port *port)
{
	const struct vsw_port_stats *st = &port->stats;

	return (struct counts){{
		atomic_load_explicit(&st->tx_packets, memory_order_relaxed),
		atomic_load_explicit(&st->tx_bytes, memory_order_relaxed),
		atomic_load_explicit(&st->rx_packets, memory_order_relaxed),
		atomic_load_explicit(&st->rx_bytes, memory_order_relaxed),
	}};
}

static uint32_t cut(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

/* Under @lock. */
static void sample_path(struct run *r, struct path *p, uint64_t now)
{
	struct counts c = look(p->port);
	struct row row = {.path = (uint32_t)(p - r->paths)};
	bool moved = false;

	for (unsigned int i = 0; i < N_COUNTS; i++) {
		row.delta[i] = cut(c.v[i] - p->last.v[i]);
		moved = moved || row.delta[i];
	}
	row.at_us = cut((p->read_ns - r->start_ns) / NSEC_PER_USEC);
	row.len_us = cut((now - p->read_ns) / NSEC_PER_USEC);
	p->read_ns = now;
	if (!moved)
		return;
	/* What found no room is not forgotten: @last stays and @full_ns tells. */
	if (r->n_rows == r->max_rows) {
		if (!r->full_ns)
			r->full_ns = now;
		return;
	}
	r->rows[r->n_rows++] = row;
	for (unsigned int i = 0; i < N_COUNTS; i++)
		p->last.v[i] += row.delta[i]; /* what was cut comes with the next row */
}

/* "a/eth0" wants "a/eth0", "a/eth0/vf", "a/eth0/syn". */
static bool wanted(const struct run *r, const char *name)
{
	size_t i;
	json_t *v;

	if (!r->vnics)
		return true;
	json_array_foreach (r->vnics, i, v) {
		size_t len = json_string_length(v);

		if (!strncmp(name, json_string_value(v), len) && (!name[len] || name[len] == '/'))
			return true;
	}
	return false;
}

/* Under @lock. */
static void path_add(struct run *r, const struct vsw_port *port, uint64_t now)
{
	struct path *p;

	if (!wanted(r, port->name))
		return;
	if (r->n_paths == SAMPLER_MAX_PATHS) {
		r->paths_lost++;
		return;
	}
	p = &r->paths[r->n_paths++];
	*p = (struct path){.port = port, .last = look(port), .since_ns = now, .read_ns = now};
	memcpy(p->name, port->name, sizeof(p->name));
}

int sampler_watch(const struct vsw_port *port)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (n_ports == ports_size) {
		size_t size = ports_size ? 2 * ports_size : 64;
		const struct vsw_port **more = realloc(ports, size * sizeof(*ports));

		if (!more) {
			rc = -ENOMEM;
			goto out;
		}
		ports = more;
		ports_size = size;
	}
	ports[n_ports++] = port;
	if (run && atomic_load(&running))
		path_add(run, port, now_ns());
out:
	pthread_mutex_unlock(&lock);
	return rc;
}

void sampler_unwatch(const struct vsw_port *port)
{
	uint64_t now = now_ns();

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_ports; i++) {
		if (ports[i] == port) {
			ports[i] = ports[--n_ports];
			break;
		}
	}
	for (size_t i = 0; run && i < run->n_paths; i++) {
		struct path *p = &run->paths[i];

		if (p->port != port)
			continue;
		if (atomic_load(&running)) {
			sample_path(run, p, now);
			p->until_ns = now;
		}
		p->port = NULL;
	}
	pthread_mutex_unlock(&lock);
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NSEC_PER_SEC),
				 .tv_nsec = (long)(ns % NSEC_PER_SEC)};
}

/* Under @lock. A look at every port. */
static void sample(struct run *r)
{
	uint64_t now = now_ns();

	for (size_t i = 0; i < r->n_paths; i++)
		if (r->paths[i].port)
			sample_path(r, &r->paths[i], now);
	if (r->looks++) {
		uint64_t took = now - r->last_ns;

		r->longest_ns = MAX(r->longest_ns, took);
		r->late += took >= 2ull * r->step_us * NSEC_PER_USEC;
	}
	r->last_ns = now;
}

static void *sampler_thread(void *arg)
{
	struct run *r = arg;
	uint64_t step = r->step_us * NSEC_PER_USEC, next = r->start_ns;
	struct timespec ts;

	pthread_setname_np(pthread_self(), "hvlab-sampler");
	pthread_mutex_lock(&lock);
	while (!stop && now_ns() < r->deadline_ns) {
		uint64_t now;

		next += step;
		now = now_ns();
		if (next <= now)
			next += (now - next) / step * step + step;
		ts = to_timespec(next);
		/* On CLOCK_MONOTONIC. Spurious and real wakes look alike: an extra look. */
		pthread_cond_timedwait(&wake, &lock, &ts);
		sample(r);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	r->cpu_ns = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	r->end_ns = now_ns();
	atomic_store(&running, false);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void run_free(struct run *r)
{
	if (!r)
		return;
	json_decref(r->vnics);
	free(r->paths);
	free(r->rows);
	free(r);
}

/* The thread is no more; what it found is in @run. */
static void end(void)
{
	if (!run)
		return;
	pthread_mutex_lock(&lock);
	stop = true;
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
}

static struct run *run_new(const struct sampler_conf *conf)
{
	struct run *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->step_us = conf->step_us ? conf->step_us : SAMPLER_STEP_US;
	r->max_rows = conf->max_rows ? conf->max_rows : SAMPLER_MAX_ROWS;
	r->vnics = conf->vnics ? json_deep_copy(conf->vnics) : NULL;
	r->paths = calloc(SAMPLER_MAX_PATHS, sizeof(*r->paths));
	r->rows = malloc(r->max_rows * sizeof(*r->rows));
	if (!r->paths || !r->rows || (conf->vnics && !r->vnics)) {
		run_free(r);
		return NULL;
	}
	return r;
}

int sampler_start(const struct sampler_conf *conf)
{
	pthread_condattr_t attr;
	struct run *r;
	int rc;

	if (atomic_load(&running))
		return -EBUSY;
	r = run_new(conf);
	if (!r)
		return -ENOMEM;
	sampler_fini();
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&wake, &attr);
	pthread_condattr_destroy(&attr);
	stop = false;
	r->start_ns = now_ns();
	r->deadline_ns = r->start_ns + (conf->max_ms ? conf->max_ms : DEFAULT_MS) * NSEC_PER_MSEC;
	for (size_t i = 0; i < n_ports; i++)
		path_add(r, ports[i], r->start_ns);
	atomic_store(&running, true);
	rc = pthread_create(&thread, NULL, sampler_thread, r);
	if (rc) {
		atomic_store(&running, false);
		pthread_cond_destroy(&wake);
		run_free(r);
		return -rc;
	}
	run = r;
	return 0;
}

static json_t *rows_json(const struct run *r, size_t path)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < r->n_rows; i++) {
		const struct row *w = &r->rows[i];

		if (w->path != path)
			continue;
		json_array_append_new(rows,
				      json_pack("[I, I, I, I, I, I]", (json_int_t)w->at_us,
						(json_int_t)w->len_us, (json_int_t)w->delta[0],
						(json_int_t)w->delta[1], (json_int_t)w->delta[2],
						(json_int_t)w->delta[3]));
	}
	return rows;
}

json_t *sampler_stop(void)
{
	json_t *o, *paths;

	if (!run)
		return NULL;
	end();
	paths = json_array();
	for (size_t i = 0; i < run->n_paths; i++) {
		const struct path *p = &run->paths[i];

		json_array_append_new(
			paths,
			json_pack("{s:s, s:I, s:o, s:o}", "port", p->name, "since_ns",
				  (json_int_t)p->since_ns, "until_ns",
				  p->until_ns ? json_integer((json_int_t)p->until_ns) : json_null(),
				  "rows", rows_json(run, i)));
	}
	o = json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o}", "step_us",
		      (int)run->step_us, "start_ns", (json_int_t)run->start_ns, "end_ns",
		      (json_int_t)run->end_ns, "looks", (json_int_t)run->looks, "late",
		      (json_int_t)run->late, "longest_ns", (json_int_t)run->longest_ns, "cpu_ns",
		      (json_int_t)run->cpu_ns, "full_ns",
		      run->full_ns ? json_integer((json_int_t)run->full_ns) : json_null(),
		      "paths_lost", (json_int_t)run->paths_lost, "paths", paths);
	log_info("%llu looks, %llu late, %zu rows, %.1f ms of CPU", (unsigned long long)run->looks,
		 (unsigned long long)run->late, run->n_rows, (double)run->cpu_ns / 1e6);
	pthread_cond_destroy(&wake);
	run_free(run);
	run = NULL;
	return o;
}

bool sampler_is_running(void)
{
	return atomic_load(&running);
}

uint64_t sampler_looks(void)
{
	uint64_t looks;

	pthread_mutex_lock(&lock);
	looks = run ? run->looks : 0;
	pthread_mutex_unlock(&lock);
	return looks;
}

void sampler_fini(void)
{
	if (!run)
		return;
	end();
	pthread_cond_destroy(&wake);
	run_free(run);
	run = NULL;
}
