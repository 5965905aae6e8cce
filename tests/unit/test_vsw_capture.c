/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/capture.c and pcapng.c, judged by a reader of its own. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/fd.h"
#include "base/util.h"
#include "base/wire.h"
#include "base/worker.h"
#include "tests/lib/wait.h"
#include "vsw_fixture.h"
#include "vswitch/nic.h"

static struct vsw *vsw;
static struct vsw_net *net;
static struct test_port port[3];
static struct frame frame;
static struct pkt pkt, *pkts[1] = {&pkt};

static int setup(void **state)
{
	struct vsw_net_conf conf = {.name = "blue"};

	(void)state;
	test_thread_register();
	vsw = vsw_new();
	net = vsw_net_add(vsw, &conf);
	for (unsigned int i = 1; i <= 2; i++) {
		test_port_init(&port[i], i);
		if (vsw_port_attach(net, &port[i].port))
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 2; i++) {
		vsw_port_detach(&port[i].port);
		test_port_clear(&port[i]);
	}
	vsw_net_del(net);
	vsw_free(vsw);
	test_thread_unregister();
	return 0;
}

/* ---- A reader of pcapng, which believes nothing ------------------------------------------- */

struct seen {
	uint32_t cap_len, len, flags, interface;
	uint64_t time;
	char comment[64];
	const uint8_t *data;
};

struct file {
	uint8_t *bytes;
	size_t size;
	unsigned int n_sections, n_interfaces, n_statistics;
	char if_name[4][64], application[64];
	uint8_t resolution;
	uint16_t link_type;
	uint32_t snaplen;
	uint64_t received, dropped;
	unsigned int n;
	struct seen pkt[4096];
};
static struct file file;

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint16_t u16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

/* Looks for an option; its length in *@len. Checks that the list ends as it should. */
static const uint8_t *option(const uint8_t *at, const uint8_t *end, uint16_t code, uint16_t *len)
{
	const uint8_t *found = NULL;

	while (at < end) {
		uint16_t c, l;

		assert_true(end - at >= 4);
		c = u16(at);
		l = u16(at + 2);
		if (!c) {
			assert_int_equal(l, 0);
			assert_ptr_equal(at + 4, end);
			return found;
		}
		assert_true(end - at >= 4 + (int)ALIGN_UP(l, 4));
		if (c == code) {
			found = at + 4;
			*len = l;
		}
		at += 4 + ALIGN_UP(l, 4);
	}
	fail_msg("options without an end");
	return NULL;
}

static void text(char *to, size_t size, const uint8_t *from, uint16_t len)
{
	assert_true(len < size);
	memcpy(to, from, len);
	to[len] = '\0';
}

static void read_block(struct file *f, uint32_t type, const uint8_t *b, const uint8_t *end)
{
	const uint8_t *o;
	uint16_t len = 0;
	struct seen *s;

	switch (type) {
	case 0x0a0d0d0a:
		f->n_sections++;
		assert_int_equal(u32(b), 0x1a2b3c4d);
		assert_int_equal(u16(b + 4), 1);
		assert_int_equal(u16(b + 6), 0);
		o = option(b + 16, end, 4, &len);
		assert_non_null(o);
		text(f->application, sizeof(f->application), o, len);
		break;
	case 1:
		assert_true(f->n_interfaces < ARRAY_SIZE(f->if_name));
		/* tcpdump reads a file only when they are all alike. */
		assert_true(!f->n_interfaces || f->link_type == u16(b));
		assert_true(!f->n_interfaces || f->snaplen == u32(b + 4));
		f->link_type = u16(b);
		f->snaplen = u32(b + 4);
		o = option(b + 8, end, 2, &len);
		assert_non_null(o);
		text(f->if_name[f->n_interfaces++], sizeof(f->if_name[0]), o, len);
		o = option(b + 8, end, 9, &len);
		assert_int_equal(len, 1);
		f->resolution = *o;
		break;
	case 6:
		assert_int_equal(f->n_statistics, 0);
		/* Those that do not fit are only counted. */
		s = &f->pkt[MIN(f->n, ARRAY_SIZE(f->pkt) - 1)];
		memset(s, 0, sizeof(*s));
		f->n++;
		s->interface = u32(b);
		assert_true(s->interface < f->n_interfaces);
		s->time = (uint64_t)u32(b + 4) << 32 | u32(b + 8);
		s->cap_len = u32(b + 12);
		s->len = u32(b + 16);
		s->data = b + 20;
		assert_true(s->cap_len <= s->len && s->cap_len <= f->snaplen);
		b += 20 + ALIGN_UP(s->cap_len, 4);
		o = option(b, end, 2, &len);
		assert_int_equal(len, 4);
		s->flags = u32(o);
		o = option(b, end, 1, &len);
		if (o)
			text(s->comment, sizeof(s->comment), o, len);
		break;
	case 5:
		f->n_statistics++;
		o = option(b + 12, end, 4, &len);
		assert_int_equal(len, 8);
		memcpy(&f->received, o, 8);
		o = option(b + 12, end, 5, &len);
		assert_int_equal(len, 8);
		memcpy(&f->dropped, o, 8);
		break;
	default:
		fail_msg("block of type %u", type);
	}
}

/* Everything up to the end of @fd, which is closed. */
static void read_file(int fd)
{
	uint8_t *at;
	ssize_t n;

	free(file.bytes);
	memset(&file, 0, sizeof(file));
	file.bytes = malloc(64 << 20);
	while ((n = read(fd, file.bytes + file.size, (64u << 20) - file.size)) > 0)
		file.size += (size_t)n;
	close(fd);
	for (at = file.bytes; at < file.bytes + file.size;) {
		size_t left = (size_t)(file.bytes + file.size - at);
		uint32_t len;

		assert_true(left >= 12);
		len = u32(at + 4);
		assert_true(len >= 12 && len <= left && len % 4 == 0);
		assert_int_equal(u32(at + len - 4), len);
		read_block(&file, u32(at), at + 8, at + len - 4);
		at += len;
	}
}

/* ---- */

static int start(unsigned int p, uint32_t snaplen, int *reader)
{
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	/* Room for what a test sends: it reads when all is over. */
	fcntl(fd[1], F_SETPIPE_SZ, 1 << 20);
	*reader = fd[0];
	return vsw_capture_start(&port[p].port, fd[1], snaplen);
}

static void send_udp(unsigned int from, unsigned int to, uint32_t len)
{
	frame_udp(&frame, from, to, len);
	pkt_of_frame(&pkt, &frame, 0);
	assert_int_equal(vsw_send(&port[from].port, pkts, 1), 1);
}

static void both_directions_are_written(void **state)
{
	uint64_t before, after;
	struct timespec ts;
	static struct frame first;
	int r;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &ts);
	before = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	assert_int_equal(start(1, 0, &r), 0);
	assert_true(vsw_capture_active(&port[1].port));
	assert_false(vsw_capture_active(&port[2].port));
	send_udp(1, 2, 100);
	first = frame;
	send_udp(2, 1, 101);
	send_udp(2, 0, 102);
	vsw_capture_stop(&port[1].port);
	assert_false(vsw_capture_active(&port[1].port));
	clock_gettime(CLOCK_REALTIME, &ts);
	after = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	read_file(r);
	assert_int_equal(file.n_sections, 1);
	assert_int_equal(file.n_interfaces, 1);
	assert_int_equal(file.n_statistics, 1);
	assert_string_equal(file.if_name[0], "vm1/eth0");
	assert_string_equal(file.application, "hvlab " HVLAB_VERSION);
	assert_int_equal(file.resolution, 9);
	assert_int_equal(file.link_type, 1);
	assert_int_equal(file.snaplen, 262144);
	assert_int_equal(file.n, 3);
	assert_int_equal(file.received, 3);
	assert_int_equal(file.dropped, 0);
	assert_int_equal(file.pkt[0].flags & 3, 2);
	assert_int_equal(file.pkt[0].len, first.len);
	assert_memory_equal(file.pkt[0].data, first.data, first.len);
	assert_int_equal(file.pkt[1].flags & 3, 1);
	assert_int_equal(file.pkt[2].flags & 3, 1);
	assert_memory_equal(file.pkt[2].data, frame.data, frame.len);
	for (unsigned int i = 0; i < 3; i++) {
		assert_string_equal(file.pkt[i].comment, "");
		assert_in_range(file.pkt[i].time, before, after);
	}
	/* After the end nothing is written, and stopping again is fine. */
	send_udp(1, 2, 100);
	vsw_capture_stop(&port[1].port);
}

static void large_packets_leave_whole_and_arrive_cut(void **state)
{
	struct frame_spec s = {.ip = 4, .proto = IPPROTO_TCP, .payload_len = 5000};
	static struct frame tagged, seg;
	int out, in;

	(void)state;
	frame_addr(&s, 1, 2);
	frame_build(&frame, &s);
	s.vlan = 0x3007;
	frame_build(&tagged, &s);
	assert_int_equal(start(1, 0, &out), 0);
	assert_int_equal(start(2, 0, &in), 0);
	pkt_of_frame(&pkt, &frame, 0);
	/* As a guest leaves it: no lengths, no sums, the tag beside it. */
	be16_store(pkt.hdr + 16, 0);
	be16_store(pkt.hdr + 24, 0xdead);
	be16_store(pkt.hdr + 50, 0xbeef);
	pkt.flags = PKT_GSO_TCP | PKT_VLAN;
	pkt.vlan_tci = 0x3007;
	pkt.gso_size = 1000;
	/* It waits in between: still captured once. */
	port[2].room = 2;
	assert_int_equal(vsw_send(&port[1].port, pkts, 1), 0);
	assert_int_equal(pkt.seg_done, 2);
	port[2].room = -1;
	assert_int_equal(vsw_send(&port[1].port, pkts, 1), 1);
	vsw_capture_stop(&port[1].port);
	vsw_capture_stop(&port[2].port);
	read_file(out);
	assert_int_equal(file.n, 1);
	assert_int_equal(file.pkt[0].len, tagged.len);
	assert_memory_equal(file.pkt[0].data, tagged.data, tagged.len);
	read_file(in);
	assert_int_equal(file.n, 5);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(frame_segment(&tagged, 1000, i, &seg));
		assert_int_equal(file.pkt[i].len, seg.len);
		assert_memory_equal(file.pkt[i].data, seg.data, seg.len);
		assert_int_equal(file.pkt[i].flags & 3, 1);
	}
}

static void drops_say_why(void **state)
{
	int out, in;

	(void)state;
	assert_int_equal(start(1, 0, &out), 0);
	assert_int_equal(start(2, 0, &in), 0);
	/* To itself; malformed; no buffer; too big for the receiver. */
	send_udp(1, 1, 50);
	frame_udp(&frame, 1, 2, 400);
	pkt_of_frame(&pkt, &frame, 300);
	pkt.hdr[14] = 0x35;
	assert_int_equal(vsw_send(&port[1].port, pkts, 1), 1);
	port[2].room = 0;
	frame_udp(&frame, 1, 2, 50);
	pkt_of_frame(&pkt, &frame, 0);
	pkt.flags = PKT_NO_WAIT;
	assert_int_equal(vsw_send(&port[1].port, pkts, 1), 1);
	port[2].room = -1;
	send_udp(1, 2, 3000);
	send_udp(1, 2, 60);
	vsw_capture_stop(&port[1].port);
	vsw_capture_stop(&port[2].port);
	read_file(out);
	assert_int_equal(file.n, 5);
	assert_string_equal(file.pkt[0].comment, "drop: same-port");
	assert_string_equal(file.pkt[1].comment, "drop: malformed");
	assert_int_equal(file.pkt[1].len, 14 + 28 + 400);
	frame_udp(&frame, 1, 2, 400);
	frame.data[14] = 0x35;
	assert_memory_equal(file.pkt[1].data, frame.data, frame.len);
	assert_string_equal(file.pkt[2].comment, "drop: no-buffer");
	/* What the receiver refused has left its sender. */
	assert_string_equal(file.pkt[3].comment, "");
	assert_string_equal(file.pkt[4].comment, "");
	read_file(in);
	assert_int_equal(file.n, 3);
	assert_string_equal(file.pkt[0].comment, "drop: no-buffer");
	assert_string_equal(file.pkt[1].comment, "drop: too-big");
	assert_int_equal(file.pkt[1].len, 3042);
	assert_string_equal(file.pkt[2].comment, "");
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(file.pkt[i].flags & 3, 1);
}

static void nothing(void *arg)
{
	(void)arg;
}

static uint64_t nic_parked(struct vsw_nic *nic)
{
	struct vsw_nic_info info;

	vsw_nic_get_info(nic, &info);
	return info.parked_now;
}

/* A vNIC vm9/eth0 with two paths, attached. */
struct two_paths {
	struct vsw_nic *nic;
	struct worker *worker;
	struct test_port path[2];
};

static void two_paths_new(struct two_paths *t)
{
	static const char *const names[] = {"vm9/eth0/vf", "vm9/eth0/syn"};
	struct worker_conf wc = {.name = "w0"};
	struct vsw_nic_conf nc = {.name = "vm9/eth0", .worker = worker_new(&wc)};

	t->worker = nc.worker;
	frame_mac(nc.mac, 9);
	t->nic = vsw_nic_new(&nc);
	assert_non_null(t->nic);
	for (unsigned int i = 0; i < 2; i++) {
		test_port_init(&t->path[i], 9);
		strcpy(t->path[i].port.name, names[i]);
		assert_int_equal(vsw_nic_path_add(t->nic, &t->path[i].port), 0);
	}
	assert_int_equal(vsw_port_attach(net, vsw_nic_port(t->nic)), 0);
}

static void two_paths_free(struct two_paths *t)
{
	vsw_port_detach(vsw_nic_port(t->nic));
	for (unsigned int i = 0; i < 2; i++) {
		vsw_nic_path_del(t->nic, &t->path[i].port);
		test_port_clear(&t->path[i]);
	}
	vsw_nic_free(t->nic);
	worker_free(t->worker);
}

/* vm9's guest sends @len bytes to @to on path @i. */
static void send_on(struct two_paths *t, unsigned int i, unsigned int to, uint32_t len)
{
	frame_udp(&frame, 9, to, len);
	pkt_of_frame(&pkt, &frame, 0);
	assert_int_equal(vsw_send(&t->path[i].port, pkts, 1), 1);
}

static int start_on(struct vsw_port *p, int *reader)
{
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	*reader = fd[0];
	return vsw_capture_start(p, fd[1], 0);
}

/* The payload of frame_udp() that packet @i of the file carries. */
static uint32_t payload_of(unsigned int i)
{
	return file.pkt[i].len - 14 - 20 - 8;
}

static void a_vnic_shows_what_its_paths_carry_and_parked_frames_when_they_arrive(void **state)
{
	/* Interface 0 is the vNIC itself; the second path is met first. */
	static const uint32_t len[] = {100, 102, 101, 103}, interface[] = {1, 2, 2, 0};
	struct two_paths t;
	int r;

	(void)state;
	two_paths_new(&t);
	assert_int_equal(start_on(vsw_nic_port(t.nic), &r), 0);
	vsw_nic_receive(t.nic, &t.path[0].port, true);
	send_udp(1, 9, 100);
	vsw_nic_receive(t.nic, NULL, true);
	send_udp(1, 9, 101);
	/* A path's guest sends while the frame before is still parked. */
	send_on(&t, 1, 1, 102);
	vsw_nic_receive(t.nic, &t.path[1].port, true);
	assert_true(wait_until(!nic_parked(t.nic), WAIT_MS));
	vsw_nic_receive(t.nic, NULL, true);
	send_udp(1, 9, 103);
	vsw_nic_receive(t.nic, NULL, false);
	assert_true(wait_until(!nic_parked(t.nic), WAIT_MS));
	/* What the worker took out last has been shown. */
	worker_call(t.worker, nothing, NULL);
	vsw_capture_stop(vsw_nic_port(t.nic));
	read_file(r);
	assert_int_equal(file.n_interfaces, 3);
	assert_string_equal(file.if_name[0], "vm9/eth0");
	assert_string_equal(file.if_name[1], "vm9/eth0/vf");
	assert_string_equal(file.if_name[2], "vm9/eth0/syn");
	assert_int_equal(file.n, 4);
	assert_int_equal(file.received, 4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(payload_of(i), len[i]);
		assert_int_equal(file.pkt[i].interface, interface[i]);
		assert_int_equal(file.pkt[i].flags & 3, i == 1 ? 2 : 1);
		assert_string_equal(file.pkt[i].comment, i == 3 ? "drop: link-down" : "");
	}
	two_paths_free(&t);
}

static void a_path_shows_what_its_guest_sends_and_receives_there(void **state)
{
	struct two_paths t;
	int all, vf, syn;

	(void)state;
	two_paths_new(&t);
	/* In any order, and each for itself. */
	assert_int_equal(start_on(&t.path[1].port, &syn), 0);
	assert_false(vsw_capture_active(vsw_nic_port(t.nic)));
	assert_false(vsw_capture_active(&t.path[0].port));
	assert_int_equal(start_on(vsw_nic_port(t.nic), &all), 0);
	assert_int_equal(start_on(&t.path[0].port, &vf), 0);
	assert_true(vsw_capture_active(&t.path[1].port));

	vsw_nic_receive(t.nic, &t.path[0].port, true);
	send_udp(1, 9, 1);    /* arrives on the VF */
	send_on(&t, 1, 1, 2); /* leaves on the synthetic path */
	send_on(&t, 0, 1, 3); /* and on the VF */
	send_udp(1, 0, 4);    /* a flood arrives on the VF */
	send_on(&t, 0, 9, 5); /* to itself: dropped, outbound */
	t.path[0].room = 0;
	frame_udp(&frame, 1, 9, 6);
	pkt_of_frame(&pkt, &frame, 0);
	pkt.flags = PKT_NO_WAIT;
	assert_int_equal(vsw_send(&port[1].port, pkts, 1), 1); /* the VF has no buffer for it */
	t.path[0].room = -1;
	vsw_nic_receive(t.nic, NULL, true);
	send_udp(1, 9, 7); /* parked; arrives on the synthetic path */
	vsw_nic_receive(t.nic, &t.path[1].port, true);
	assert_true(wait_until(!nic_parked(t.nic), WAIT_MS));
	worker_call(t.worker, nothing, NULL);
	vsw_nic_receive(t.nic, NULL, false);
	send_udp(1, 9, 8); /* no path is to blame */

	/* The end of one is not the end of another. */
	vsw_capture_stop(&t.path[0].port);
	assert_true(vsw_capture_active(vsw_nic_port(t.nic)));
	assert_true(vsw_capture_active(&t.path[1].port));
	send_on(&t, 0, 1, 9);
	send_on(&t, 1, 1, 10);
	vsw_capture_stop(vsw_nic_port(t.nic));
	send_on(&t, 1, 1, 11);
	vsw_capture_stop(&t.path[1].port);

	read_file(vf);
	assert_int_equal(file.n_interfaces, 1);
	assert_string_equal(file.if_name[0], "vm9/eth0/vf");
	assert_int_equal(file.n, 5);
	assert_int_equal(file.received, 5);
	for (unsigned int i = 0; i < 5; i++) {
		static const uint32_t want[] = {1, 3, 4, 5, 6}, out[] = {0, 1, 0, 1, 0};

		assert_int_equal(payload_of(i), want[i]);
		assert_int_equal(file.pkt[i].flags & 3, out[i] ? 2 : 1);
		assert_string_equal(file.pkt[i].comment, i == 3	  ? "drop: same-port"
							 : i == 4 ? "drop: no-buffer"
								  : "");
	}
	read_file(syn);
	assert_int_equal(file.n_interfaces, 1);
	assert_string_equal(file.if_name[0], "vm9/eth0/syn");
	assert_int_equal(file.n, 4);
	for (unsigned int i = 0; i < 4; i++) {
		static const uint32_t want[] = {2, 7, 10, 11}, out[] = {1, 0, 1, 1};

		assert_int_equal(payload_of(i), want[i]);
		assert_int_equal(file.pkt[i].flags & 3, out[i] ? 2 : 1);
	}
	read_file(all);
	assert_int_equal(file.n_interfaces, 3);
	assert_int_equal(file.n, 10);
	for (unsigned int i = 0; i < 10; i++) {
		/* By first sight: 1 is the VF. */
		static const uint32_t at[] = {1, 2, 1, 1, 1, 1, 2, 0, 1, 2};

		assert_int_equal(payload_of(i), i + 1);
		assert_int_equal(file.pkt[i].interface, at[i]);
	}
	assert_string_equal(file.pkt[7].comment, "drop: link-down");
	two_paths_free(&t);
}

static void a_capture_of_a_path_outlives_it_and_ends_with_the_vnic(void **state)
{
	struct two_paths t;
	int r, other;

	(void)state;
	two_paths_new(&t);
	assert_int_equal(start_on(&t.path[0].port, &r), 0);
	assert_int_equal(start_on(&t.path[0].port, &other), -EBUSY);
	close(other);
	send_on(&t, 0, 1, 1);
	vsw_nic_path_del(t.nic, &t.path[0].port);
	/* Another device takes its place. */
	assert_int_equal(vsw_nic_path_add(t.nic, &t.path[0].port), 0);
	assert_true(vsw_capture_active(&t.path[0].port));
	send_on(&t, 0, 1, 2);
	vsw_port_detach(vsw_nic_port(t.nic));
	read_file(r);
	assert_int_equal(file.n, 2);
	assert_int_equal(file.n_statistics, 1);
	/* Nothing to capture without a network. */
	assert_int_equal(start_on(&t.path[0].port, &r), -ENOTCONN);
	close(r);
	two_paths_free(&t);
}

static void a_snap_length_cuts_the_copy_not_the_figure(void **state)
{
	int r;

	(void)state;
	assert_int_equal(start(1, 61, &r), 0);
	send_udp(1, 2, 1000);
	send_udp(1, 2, 3);
	vsw_capture_stop(&port[1].port);
	read_file(r);
	assert_int_equal(file.snaplen, 61);
	assert_int_equal(file.n, 2);
	assert_int_equal(file.pkt[0].cap_len, 61);
	assert_int_equal(file.pkt[0].len, 1042);
	assert_int_equal(file.pkt[1].cap_len, 45);
	assert_int_equal(file.pkt[1].len, 45);
}

static void a_capture_goes_to_a_file_or_a_socket_too(void **state)
{
	char path[] = "/tmp/hvlab-test-capture-XXXXXX";
	int fd = mkstemp(path), sv[2];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(vsw_capture_start(&port[1].port, fd, 0), 0);
	send_udp(1, 2, 1000);
	vsw_capture_stop(&port[1].port);
	fd = open(path, O_RDONLY);
	unlink(path);
	read_file(fd);
	assert_int_equal(file.n, 1);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(vsw_capture_start(&port[1].port, sv[0], 0), 0);
	send_udp(1, 2, 1000);
	vsw_capture_stop(&port[1].port);
	read_file(sv[1]);
	assert_int_equal(file.n, 1);
}

static void one_capture_at_a_time(void **state)
{
	int r, other;

	(void)state;
	assert_int_equal(start(1, 0, &r), 0);
	assert_int_equal(start(1, 0, &other), -EBUSY);
	/* The refused descriptor was closed. */
	assert_int_equal(read(other, &(char){0}, 1), 0);
	close(other);
	/* Detaching ends a capture, in order. */
	send_udp(1, 2, 10);
	vsw_port_detach(&port[1].port);
	read_file(r);
	assert_int_equal(file.n, 1);
	assert_int_equal(file.n_statistics, 1);
	assert_int_equal(start(1, 0, &r), -ENOTCONN);
	close(r);
	assert_int_equal(vsw_port_attach(net, &port[1].port), 0);
	assert_int_equal(vsw_capture_start(&port[1].port, 99999, 0), -EBADF);
}

static void a_reader_that_sleeps_loses_packets_and_learns_how_many(void **state)
{
	unsigned int n = 0;
	uint64_t t;
	int r;

	(void)state;
	assert_int_equal(start(1, 0, &r), 0);
	/* 16 MB: more than pipe and queue hold. A send that waited would do so for ever. */
	for (; n < 12000; n++) {
		send_udp(1, 2, 1300);
		test_port_clear(&port[2]);
	}
	assert_int_equal(atomic_load(&port[1].port.stats.tx_packets), n);
	/* Stopping does not wait for ever either. */
	t = now_ns();
	vsw_capture_stop(&port[1].port);
	assert_true(now_ns() - t < 10 * NSEC_PER_SEC);
	close(r);
}

static void *slow_reader(void *arg)
{
	read_file(*(int *)arg);
	return NULL;
}

static void lost_packets_are_in_the_statistics(void **state)
{
	unsigned int n = 3900;
	pthread_t t;
	int r;

	(void)state;
	assert_int_equal(start(1, 0, &r), 0);
	for (unsigned int i = 0; i < n; i++) {
		struct frame_spec s = {.ip = 4, .proto = IPPROTO_TCP, .payload_len = 20000};

		frame_addr(&s, 1, 2);
		if (!i)
			frame_build(&frame, &s);
		pkt_of_frame(&pkt, &frame, 0);
		pkt.flags = PKT_GSO_TCP;
		pkt.gso_size = 1400;
		assert_int_equal(vsw_send(&port[1].port, pkts, 1), 1);
	}
	/* Now somebody reads. */
	assert_int_equal(pthread_create(&t, NULL, slow_reader, &r), 0);
	vsw_capture_stop(&port[1].port);
	pthread_join(t, NULL);
	assert_int_equal(file.n_statistics, 1);
	assert_int_equal(file.received, n);
	assert_true(file.dropped > 0);
	assert_int_equal(file.n + file.dropped, n);
	assert_int_equal(file.pkt[file.n - 1].len, 20054);
}

static void a_reader_that_goes_ends_the_capture(void **state)
{
	char c;
	int r;

	(void)state;
	/* With traffic. */
	assert_int_equal(start(1, 0, &r), 0);
	close(r);
	send_udp(1, 2, 10);
	assert_true(wait_until(!vsw_capture_active(&port[1].port), WAIT_MS));
	send_udp(1, 2, 10);
	/* Without any: it has seen the file's head. Another may begin at once. */
	assert_int_equal(start(1, 0, &r), 0);
	assert_int_equal(read(r, &c, 1), 1);
	close(r);
	assert_true(wait_until(!vsw_capture_active(&port[1].port), WAIT_MS));
	assert_int_equal(start(1, 0, &r), 0);
	send_udp(1, 2, 10);
	vsw_capture_stop(&port[1].port);
	read_file(r);
	assert_int_equal(file.n, 1);
}

/* Captures come and go while two workers send. */
static _Atomic bool stop;
/* Packets that each may send: as many as a pipe holds, read or not. */
static _Atomic int allowance[2];
static struct worker *worker[2];

static void blast(void *arg)
{
	unsigned int from = 1 + (unsigned int)(uintptr_t)arg;
	struct frame *f = malloc(sizeof(*f));
	struct pkt *p = malloc(sizeof(*p));

	frame_udp(f, from, 3 - from, 200);
	while (!atomic_load(&stop)) {
		if (atomic_load(&allowance[from - 1]) <= 0) {
			sched_yield();
			continue;
		}
		atomic_fetch_sub(&allowance[from - 1], 1);
		pkt_of_frame(p, f, 0);
		assert_int_equal(vsw_send(&port[from].port, &p, 1), 1);
	}
	free(f);
	free(p);
}

static void captures_come_and_go_under_traffic(void **state)
{
	(void)state;
	atomic_store(&stop, false);
	port[1].keep = port[2].keep = false;
	for (unsigned int i = 0; i < 2; i++) {
		struct worker_conf wc = {.name = "w"};

		atomic_store(&allowance[i], 100);
		worker[i] = worker_new(&wc);
		assert_non_null(worker[i]);
		assert_int_equal(worker_post(worker[i], blast, (void *)(uintptr_t)i), 0);
	}
	for (unsigned int round = 0; round < 20; round++) {
		uint64_t sent;
		pthread_t t;
		int r;

		assert_int_equal(start(1, 100, &r), 0);
		sent = atomic_load(&port[1].port.stats.tx_packets);
		assert_int_equal(pthread_create(&t, NULL, slow_reader, &r), 0);
		for (unsigned int i = 0; i < 2; i++)
			atomic_fetch_add(&allowance[i], 500);
		assert_true(wait_until(atomic_load(&port[1].port.stats.tx_packets) > sent + 20,
				       WAIT_MS));
		vsw_capture_stop(&port[1].port);
		pthread_join(t, NULL);
		/* All of them fit into the pipe, so none was lost however slow the reader is. */
		assert_int_equal(file.n_statistics, 1);
		assert_int_equal(file.dropped, 0);
		assert_int_equal(file.n, file.received);
		/* One may have been on its way when the capture began. */
		assert_true(file.n >= 20);
	}
	atomic_store(&stop, true);
	worker_free(worker[0]);
	worker_free(worker[1]);
}

static int group_teardown(void **state)
{
	(void)state;
	free(file.bytes);
	return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(both_directions_are_written),
		T(large_packets_leave_whole_and_arrive_cut),
		T(drops_say_why),
		T(a_vnic_shows_what_its_paths_carry_and_parked_frames_when_they_arrive),
		T(a_path_shows_what_its_guest_sends_and_receives_there),
		T(a_capture_of_a_path_outlives_it_and_ends_with_the_vnic),
		T(a_snap_length_cuts_the_copy_not_the_figure),
		T(a_capture_goes_to_a_file_or_a_socket_too),
		T(one_capture_at_a_time),
		T(a_reader_that_sleeps_loses_packets_and_learns_how_many),
		T(lost_packets_are_in_the_statistics),
		T(a_reader_that_goes_ends_the_capture),
		T(captures_come_and_go_under_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, group_teardown);
}
