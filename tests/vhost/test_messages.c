/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket: every message right, and wrong in every way that a message can be. What is wrong
 * costs the connection, and only that: each test ends with two ports that talk.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "tests/vhost/vu_rig.h"

#define EVERY_PROTOCOL_BIT                                                                         \
	(VU_BIT(VHOST_USER_PROTOCOL_F_MQ) | VU_BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |              \
	 VU_BIT(VHOST_USER_PROTOCOL_F_RARP) | VU_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |            \
	 VU_BIT(VHOST_USER_PROTOCOL_F_MTU) | VU_BIT(VHOST_USER_PROTOCOL_F_CONFIG) |                \
	 VU_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |                                            \
	 VU_BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |                                              \
	 VU_BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | VU_BIT(VHOST_USER_PROTOCOL_F_STATUS))

static const struct rig_conf nobody = {.no_connect = true};

/* A client that has shaken hands; no memory, no rings. */
static struct vu *greet(struct rig *r, unsigned int i)
{
	struct vu *c = &r->c[i];

	assert_int_equal(vu_open(c, rig_connect(r, i), &r->conf.client), 0);
	r->open[i] = true;
	assert_int_equal(vu_handshake(c), 0);
	return c;
}

static struct rig *start(struct vu **c)
{
	struct rig *r = rig_start(&nobody);

	*c = greet(r, 0);
	return r;
}

/* Client 0 has lost its connection; both ports work with new ones. */
static void lost_only_that(struct rig *r)
{
	assert_true(vu_closed(&r->c[0]));
	rig_down(r, 0);
	rig_up(r, 0, NULL);
	if (!r->open[1])
		rig_up(r, 1, NULL);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void alive_still(struct rig *r)
{
	uint64_t value;

	assert_int_equal(vu_get_u64(&r->c[0], VHOST_USER_GET_FEATURES, &value), 0);
	rig_stop(r);
}

/* ---- What is offered ------------------------------------------------------------------------ */

static void features_and_protocol_features_are_offered(void **state)
{
	struct vu *c;
	struct rig *r = start(&c);

	(void)state;
	assert_int_equal(c->offered & VU_FEATURES, VU_FEATURES);
	assert_true(c->offered & VU_BIT(VHOST_F_LOG_ALL));
	assert_true(c->offered & VU_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE));
	assert_true(c->offered & VU_BIT(VIRTIO_NET_F_STATUS));
	assert_false(c->offered & VU_BIT(VIRTIO_NET_F_MTU));
	assert_int_equal(c->offered_protocol, EVERY_PROTOCOL_BIT);
	assert_true(wait_until(rig_info(r, 0).features == c->features, WAIT_MS));
	assert_int_equal(rig_info(r, 0).protocol_features, EVERY_PROTOCOL_BIT);
	assert_int_equal(r->events[0][VHOST_EV_CONNECTED], 1);
	alive_still(r);
}

static void an_mtu_is_offered_and_features_can_be_withheld(void **state)
{
	struct rig_conf conf = {.no_connect = true,
				.port = {.mtu = 1400,
					 .features_off = VU_BIT(VIRTIO_NET_F_HOST_USO) |
							 VU_BIT(VIRTIO_RING_F_EVENT_IDX)}};
	struct rig *r = rig_start(&conf);
	struct vu *c = greet(r, 0);

	(void)state;
	assert_true(c->offered & VU_BIT(VIRTIO_NET_F_MTU));
	assert_false(c->offered & VU_BIT(VIRTIO_NET_F_HOST_USO));
	assert_false(c->offered & VU_BIT(VIRTIO_RING_F_EVENT_IDX));
	alive_still(r);
}

static void a_feature_that_is_not_offered_is_refused(void **state)
{
	struct vu *c;
	struct rig *r = start(&c);

	(void)state;
	assert_int_equal(vu_ack_u64(c, VHOST_USER_SET_FEATURES, c->features | VU_BIT(10)),
			 -EREMOTEIO);
	assert_int_equal(vu_ack_u64(c, VHOST_USER_SET_PROTOCOL_FEATURES, VU_BIT(5)), -EREMOTEIO);
	assert_int_equal(rig_info(r, 0).features, c->features);
	assert_int_equal(rig_info(r, 0).rejected, 2);
	alive_still(r);
}

static void a_refusal_that_nobody_asked_to_hear_ends_the_connection(void **state)
{
	uint64_t all = ~0ull;
	struct vu *c;
	struct rig *r = start(&c);

	(void)state;
	assert_int_equal(vu_send(c, VHOST_USER_SET_FEATURES, 0, &all, sizeof(all), NULL, 0), 0);
	lost_only_that(r);
}

static void features_do_not_change_under_running_rings(void **state)
{
	struct rig *r = rig_start(NULL);
	struct vu *c = &r->c[0];

	(void)state;
	assert_int_equal(vu_ack_u64(c, VHOST_USER_SET_FEATURES, VU_PLAIN), -EREMOTEIO);
	assert_int_equal(
		vu_ack_u64(c, VHOST_USER_SET_FEATURES, c->features | VU_BIT(VHOST_F_LOG_ALL)), 0);
	assert_int_equal(vu_ack_u64(c, VHOST_USER_SET_FEATURES, c->features), 0);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void queues_slots_and_status_are_told(void **state)
{
	struct rig_conf conf = {.no_connect = true, .port = {.max_queues = 8}};
	struct rig *r = rig_start(&conf);
	struct vu *c = greet(r, 0);
	uint64_t value;

	(void)state;
	assert_int_equal(vu_get_u64(c, VHOST_USER_GET_QUEUE_NUM, &value), 0);
	assert_int_equal(value, 8);
	assert_int_equal(vu_get_u64(c, VHOST_USER_GET_MAX_MEM_SLOTS, &value), 0);
	assert_int_equal(value, 64);
	assert_int_equal(vu_ack_u64(c, VHOST_USER_SET_STATUS, 0xb), 0);
	assert_int_equal(vu_get_u64(c, VHOST_USER_GET_STATUS, &value), 0);
	assert_int_equal(value, 0xb);
	assert_int_equal(vu_ack_u64(c, VHOST_USER_SET_STATUS, 0x100), -EREMOTEIO);
	alive_still(r);
}

static void the_configuration_space_is_the_net_devices(void **state)
{
	struct rig_conf conf = {.no_connect = true, .port = {.max_queues = 3, .mtu = 1400}};
	struct rig *r = rig_start(&conf);
	struct vu *c = greet(r, 0);
	struct vhost_user_config q = {.offset = 0, .size = 12};
	struct virtio_net_config net;
	uint8_t mac[6];
	uint32_t room;

	(void)state;
	frame_mac(mac, 1);
	assert_int_equal(vu_send(c, VHOST_USER_GET_CONFIG, 0, &q, 12 + 12, NULL, 0), 0);
	room = sizeof(q);
	assert_int_equal(vu_recv(c, VHOST_USER_GET_CONFIG, &q, &room, NULL), 0);
	assert_int_equal(room, 24);
	memcpy(&net, q.data, sizeof(net));
	assert_memory_equal(net.mac, mac, 6);
	assert_int_equal(le16_get(net.status), 1);
	assert_int_equal(le16_get(net.max_virtqueue_pairs), 3);
	assert_int_equal(le16_get(net.mtu), 1400);
	/* From the middle, to the end of the space; what the device has not is zero. */
	q = (struct vhost_user_config){.offset = 10, .size = 246};
	assert_int_equal(vu_send(c, VHOST_USER_GET_CONFIG, 0, &q, 12 + 246, NULL, 0), 0);
	room = sizeof(q);
	assert_int_equal(vu_recv(c, VHOST_USER_GET_CONFIG, &q, &room, NULL), 0);
	assert_int_equal(room, 12 + 246);
	assert_int_equal(q.data[0] | q.data[1] << 8, 1400);
	assert_int_equal(q.data[2] | q.data[245], 0);
	/* Behind its end, and with a size that the message does not have: an empty answer. */
	q = (struct vhost_user_config){.offset = 250, .size = 7};
	assert_int_equal(vu_send(c, VHOST_USER_GET_CONFIG, 0, &q, 12 + 7, NULL, 0), 0);
	room = sizeof(q);
	assert_int_equal(vu_recv(c, VHOST_USER_GET_CONFIG, &q, &room, NULL), 0);
	assert_int_equal(room, 0);
	q = (struct vhost_user_config){.size = 200};
	assert_int_equal(vu_send(c, VHOST_USER_GET_CONFIG, 0, &q, 12 + 7, NULL, 0), 0);
	room = sizeof(q);
	assert_int_equal(vu_recv(c, VHOST_USER_GET_CONFIG, &q, &room, NULL), 0);
	assert_int_equal(room, 0);
	/* Nothing in it can be written. */
	q = (struct vhost_user_config){.size = 6};
	assert_int_equal(vu_ack(c, VHOST_USER_SET_CONFIG, &q, 12 + 6, NULL, 0), -EREMOTEIO);
	alive_still(r);
}

static void an_mtu_can_be_set_within_bounds(void **state)
{
	struct rig_conf conf = {.port = {.mtu = 2000}};
	struct rig *r = rig_start(&conf);
	struct frame_spec s = rig_spec(0, 1, 4, IPPROTO_UDP, 1300);

	(void)state;
	assert_int_equal(vu_ack_u64(&r->c[1], VHOST_USER_NET_SET_MTU, 67), -EREMOTEIO);
	assert_int_equal(vu_ack_u64(&r->c[1], VHOST_USER_NET_SET_MTU, 65536), -EREMOTEIO);
	assert_int_equal(vu_ack_u64(&r->c[1], VHOST_USER_NET_SET_MTU, 2001), -EREMOTEIO);
	frame_build(&r->f, &s);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
	rig_expect(r, 1, &r->f, NULL);
	assert_int_equal(vu_ack_u64(&r->c[1], VHOST_USER_NET_SET_MTU, 1327), 0);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
	assert_int_equal(rig_drops(r, 1, VSW_DROP_TOO_BIG), 1);
	assert_int_equal(vu_ack_u64(&r->c[1], VHOST_USER_NET_SET_MTU, 1328), 0);
	assert_int_equal(vu_tx(vu_txq(&r->c[0], 0), r->f.data, r->f.len, NULL), 0);
	rig_expect(r, 1, &r->f, NULL);
	rig_stop(r);
}

/* ---- Form ------------------------------------------------------------------------------------ */

/* Every message, the bytes it has, whether it brings a descriptor. */
static const struct form {
	uint32_t request, size;
	bool fd, any_size, may_fd;
} forms[] = {
	{.request = VHOST_USER_GET_FEATURES},
	{.request = VHOST_USER_SET_FEATURES, .size = 8},
	{.request = VHOST_USER_SET_OWNER},
	{.request = VHOST_USER_RESET_OWNER},
	{.request = VHOST_USER_SET_MEM_TABLE, .size = 8 + 32, .fd = true, .any_size = true},
	{.request = VHOST_USER_SET_LOG_BASE, .size = 16, .fd = true},
	{.request = VHOST_USER_SET_LOG_FD, .size = 8, .fd = true, .any_size = true},
	{.request = VHOST_USER_SET_VRING_NUM, .size = 8},
	{.request = VHOST_USER_SET_VRING_ADDR, .size = 40},
	{.request = VHOST_USER_SET_VRING_BASE, .size = 8},
	{.request = VHOST_USER_GET_VRING_BASE, .size = 8},
	{.request = VHOST_USER_SET_VRING_KICK, .size = 8, .fd = true},
	{.request = VHOST_USER_SET_VRING_CALL, .size = 8, .fd = true},
	{.request = VHOST_USER_SET_VRING_ERR, .size = 8, .fd = true},
	{.request = VHOST_USER_GET_PROTOCOL_FEATURES},
	{.request = VHOST_USER_SET_PROTOCOL_FEATURES, .size = 8},
	{.request = VHOST_USER_GET_QUEUE_NUM},
	{.request = VHOST_USER_SET_VRING_ENABLE, .size = 8},
	{.request = VHOST_USER_SEND_RARP, .size = 8},
	{.request = VHOST_USER_NET_SET_MTU, .size = 8},
	{.request = VHOST_USER_GET_CONFIG, .size = 24, .any_size = true},
	{.request = VHOST_USER_SET_CONFIG, .size = 24, .any_size = true},
	{.request = VHOST_USER_GET_INFLIGHT_FD, .size = 24, .any_size = true},
	{.request = VHOST_USER_SET_INFLIGHT_FD, .size = 24, .fd = true, .any_size = true},
	{.request = VHOST_USER_RESET_DEVICE},
	{.request = VHOST_USER_GET_MAX_MEM_SLOTS},
	{.request = VHOST_USER_ADD_MEM_REG, .size = 40, .fd = true},
	{.request = VHOST_USER_REM_MEM_REG, .size = 40, .may_fd = true},
	{.request = VHOST_USER_SET_STATUS, .size = 8},
	{.request = VHOST_USER_GET_STATUS},
};

enum damage { TOO_SHORT, TOO_LONG, WITHOUT_FD, TWO_FDS, FD_TOO_MANY, N_DAMAGES };

static void damaged(struct rig *r, const struct form *f, enum damage how)
{
	static const uint8_t zero[600];
	int fds[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
	uint32_t size = f->size;
	unsigned int n_fds = f->fd;
	struct vu *c = greet(r, 0);
	uint64_t before = rig_info(r, 0).rejected;

	if (how == TOO_SHORT)
		size = f->any_size ? MIN(size, 7u) : size - 1;
	else if (how == TOO_LONG)
		size = f->any_size ? 500 : size + 1;
	else if (how == WITHOUT_FD)
		n_fds = 0;
	else
		n_fds = how == TWO_FDS ? 2 : n_fds + 1;
	if (how == TOO_SHORT && f->request == VHOST_USER_SET_LOG_FD)
		n_fds = 0; /* any size will do */
	assert_int_equal(vu_send(c, f->request, 0, zero, size, fds, n_fds), 0);
	if (!vu_closed(c))
		fail_msg("message %u, damage %d: the connection goes on", f->request, how);
	rig_down(r, 0);
	assert_int_equal(rig_info(r, 0).rejected, before + 1);
	fd_close_all(fds, 2);
}

static void every_message_of_a_wrong_form_costs_the_connection(void **state)
{
	struct rig *r = rig_start(&nobody);

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *f = &forms[i];

		if (f->size)
			damaged(r, f, TOO_SHORT);
		damaged(r, f, TOO_LONG);
		if (f->fd)
			damaged(r, f, WITHOUT_FD);
		damaged(r, f, f->fd || f->may_fd ? TWO_FDS : FD_TOO_MANY);
	}
	rig_up(r, 0, NULL);
	rig_up(r, 1, NULL);
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void messages_that_do_not_exist_cost_the_connection(void **state)
{
	static const uint32_t unknown[] = {0, 21, 22, 23, 26, 28, 33, 35, 41, 44, 1000, 0x80000001};
	struct rig *r = rig_start(&nobody);

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(unknown); i++) {
		struct vu *c = greet(r, 0);

		assert_int_equal(vu_send(c, unknown[i], 0, NULL, 0, NULL, 0), 0);
		assert_true(vu_closed(c));
		rig_down(r, 0);
	}
	rig_stop(r);
}

static void a_wrong_header_costs_the_connection(void **state)
{
	static const struct vhost_user_hdr bad[] = {
		{VHOST_USER_GET_FEATURES, 0, 0},
		{VHOST_USER_GET_FEATURES, 2, 0},
		{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION | VHOST_USER_REPLY, 0},
		{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0xffffffff},
		{VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 513},
	};
	struct rig *r = rig_start(&nobody);

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vu *c = greet(r, 0);

		assert_int_equal(write(c->sock, &bad[i], sizeof(bad[i])), sizeof(bad[i]));
		assert_true(vu_closed(c));
		rig_down(r, 0);
	}
	rig_stop(r);
}

static void what_was_not_negotiated_costs_the_connection(void **state)
{
	static const struct {
		uint32_t request, size;
		unsigned int bit;
	} needs[] = {
		{VHOST_USER_GET_QUEUE_NUM, 0, VHOST_USER_PROTOCOL_F_MQ},
		{VHOST_USER_SEND_RARP, 8, VHOST_USER_PROTOCOL_F_RARP},
		{VHOST_USER_NET_SET_MTU, 8, VHOST_USER_PROTOCOL_F_MTU},
		{VHOST_USER_GET_CONFIG, 24, VHOST_USER_PROTOCOL_F_CONFIG},
		{VHOST_USER_GET_INFLIGHT_FD, 24, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD},
		{VHOST_USER_RESET_DEVICE, 0, VHOST_USER_PROTOCOL_F_RESET_DEVICE},
		{VHOST_USER_GET_MAX_MEM_SLOTS, 0, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS},
		{VHOST_USER_GET_STATUS, 0, VHOST_USER_PROTOCOL_F_STATUS},
	};
	static const uint8_t zero[64];
	struct rig *r = rig_start(&nobody);

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(needs); i++) {
		struct vu *c = greet(r, 0);
		uint64_t bits = c->protocol & ~VU_BIT(needs[i].bit);

		assert_int_equal(vu_send(c, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &bits,
					 sizeof(bits), NULL, 0),
				 0);
		assert_int_equal(vu_send(c, needs[i].request, 0, zero, needs[i].size, NULL, 0), 0);
		assert_true(vu_closed(c));
		rig_down(r, 0);
	}
	rig_stop(r);
}

static void without_reply_ack_there_is_no_answer(void **state)
{
	struct vu *c;
	struct rig *r = start(&c);
	uint64_t bits = c->protocol & ~VU_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK), value;

	(void)state;
	assert_int_equal(vu_send(c, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &bits, 8, NULL, 0), 0);
	assert_int_equal(vu_send(c, VHOST_USER_SET_OWNER, VHOST_USER_NEED_REPLY, NULL, 0, NULL, 0),
			 0);
	/* The next answer is that of the next question. */
	assert_int_equal(vu_get_u64(c, VHOST_USER_GET_FEATURES, &value), 0);
	alive_still(r);
}

static void a_message_may_come_byte_by_byte(void **state)
{
	struct vu *c;
	struct rig *r = start(&c);
	struct {
		struct vhost_user_hdr h;
		uint64_t value;
	} __attribute__((packed))
	m = {{VHOST_USER_SET_FEATURES, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, 8}, VU_PLAIN};
	uint64_t answer;
	uint32_t room = sizeof(answer);

	(void)state;
	for (unsigned int i = 0; i < sizeof(m); i++) {
		assert_int_equal(write(c->sock, (uint8_t *)&m + i, 1), 1);
		rig_info(r, 0); /* the worker has turned */
	}
	assert_int_equal(vu_recv(c, VHOST_USER_SET_FEATURES, &answer, &room, NULL), 0);
	assert_int_equal(answer, 0);
	assert_int_equal(rig_info(r, 0).features, VU_PLAIN);
	alive_still(r);
}

static void a_client_that_reads_no_replies_loses_its_connection(void **state)
{
	struct vu *c;
	struct rig *r = start(&c);
	int rc = 0;

	(void)state;
	for (unsigned int i = 0; i < 100000 && !rc; i++)
		rc = vu_send(c, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
	assert_int_equal(rc, -ECONNRESET);
	lost_only_that(r);
}

/* One that talks without end does not keep the worker from its neighbours. */
static void a_flood_of_messages_leaves_turns_to_others(void **state)
{
	struct rig_conf conf = {.n = 3};
	struct rig *r = rig_start(&conf);

	(void)state;
	for (unsigned int i = 0; i < 50; i++) {
		while (!vu_send(&r->c[0], VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0) &&
		       rig_info(r, 0).messages < 1000 * i)
			;
		rig_alive(r, 1, 2);
	}
	rig_alive(r, 0, 1);
	rig_stop(r);
}

static void half_a_message_and_good_bye(void **state)
{
	struct rig *r = rig_start(&nobody);
	struct vhost_user_hdr h = {VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 200};
	struct iovec iov = {&h, sizeof(h)};
	int fd = eventfd(0, EFD_CLOEXEC);
	struct vu *c = greet(r, 0);

	(void)state;
	assert_int_equal(fd_send(c->sock, &iov, 1, &fd, 1, 0), sizeof(h));
	close(fd);
	rig_down(r, 0);
	assert_int_equal(r->events[0][VHOST_EV_DISCONNECTED], 1);
	rig_stop(r);
}

/* ---- Meaning ------------------------------------------------------------------------------ */

static void memory_tables_are_checked(void **state)
{
	struct vu *c;
	struct rig *r = start(&c);
	struct vhost_user_region one = {VU_GPA0, 1 << 20, VU_USER, 0}, bad;
	struct vhost_user_mem m = {.n_regions = 1};
	struct vhost_user_mem_reg reg = {.region = one};
	int fds[9], pipes[2];

	(void)state;
	for (unsigned int i = 0; i < 9; i++)
		fds[i] = c->mem_fd;
#define TABLE(reg_, n_)                                                                            \
	(m.region[0] = (reg_), m.n_regions = (n_),                                                 \
	 vu_ack(c, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32 * MIN((n_), 8u), fds, MIN((n_), 8u)))
	assert_int_equal(TABLE(one, 1u), 0);
	bad = one;
	bad.size = 0;
	assert_int_equal(TABLE(bad, 1u), -EREMOTEIO);
	bad = one;
	bad.size = c->mem_size + 1;
	assert_int_equal(TABLE(bad, 1u), -EREMOTEIO);
	bad = one;
	bad.mmap_offset = c->mem_size - 4096;
	assert_int_equal(TABLE(bad, 1u), -EREMOTEIO);
	bad = one;
	bad.mmap_offset = UINT64_MAX - 4095;
	assert_int_equal(TABLE(bad, 1u), -EREMOTEIO);
	bad = one;
	bad.guest_addr = UINT64_MAX - 4096;
	assert_int_equal(TABLE(bad, 1u), -EREMOTEIO);
	bad = one;
	bad.user_addr = UINT64_MAX - 4096;
	assert_int_equal(TABLE(bad, 1u), -EREMOTEIO);
	assert_int_equal(TABLE(one, 0u), -EREMOTEIO);
	assert_int_equal(TABLE(one, 9u), -EREMOTEIO);
	/* Overlap, by guest address and by user address. */
	m.region[1] = one;
	m.region[1].user_addr += 1 << 20;
	m.region[1].guest_addr += (1 << 20) - 4096;
	assert_int_equal(TABLE(one, 2u), -EREMOTEIO);
	m.region[1] = one;
	m.region[1].guest_addr += 1 << 20;
	m.region[1].user_addr += (1 << 20) - 4096;
	assert_int_equal(TABLE(one, 2u), -EREMOTEIO);
	/* Fewer regions than are said, fewer descriptors than regions. */
	m.n_regions = 2;
	assert_int_equal(vu_ack(c, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, fds, 2), -EREMOTEIO);
	assert_int_equal(vu_ack(c, VHOST_USER_SET_MEM_TABLE, &m, 8 + 64, fds, 1), -EREMOTEIO);
	/* What cannot be mapped. */
	assert_int_equal(pipe(pipes), 0);
	fds[0] = pipes[0];
	assert_int_equal(TABLE(one, 1u), -EREMOTEIO);
	fd_close_all(pipes, 2);
	fds[0] = c->mem_fd;
	/* Region by region. */
	assert_int_equal(TABLE(one, 1u), 0);
	assert_int_equal(vu_ack(c, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), fds, 1), -EREMOTEIO);
	reg.region.user_addr++;
	assert_int_equal(vu_ack(c, VHOST_USER_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), -EREMOTEIO);
	reg.region = one;
	assert_int_equal(vu_ack(c, VHOST_USER_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 0);
	assert_int_equal(vu_ack(c, VHOST_USER_REM_MEM_REG, &reg, sizeof(reg), fds, 1), -EREMOTEIO);
	for (unsigned int i = 0; i < 64; i++) {
		reg.region = (struct vhost_user_region){i << 20, 4096, VU_USER + i * 4096, 0};
		assert_int_equal(vu_ack(c, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), fds, 1), 0);
	}
	reg.region = (struct vhost_user_region){1ull << 40, 4096, VU_USER - 4096, 0};
	assert_int_equal(vu_ack(c, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), fds, 1), -EREMOTEIO);
	alive_still(r);
}

static void rings_are_checked(void **state)
{
	static const uint32_t sizes[] = {0, 3, 255, 257, 65536, 0x80000000};
	struct rig *r = rig_start(NULL);
	struct vu *c = &r->c[0];
	struct vu_ring *q = vu_rxq(c, 0);
	struct vhost_vring_addr good = {.desc = vu_user(c, q->desc),
					.used = vu_user(c, q->used),
					.avail = vu_user(c, q->avail)},
				bad;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_int_equal(vu_ack_state(c, VHOST_USER_SET_VRING_NUM, 0, sizes[i]),
				 -EREMOTEIO);
	assert_int_equal(vu_ack_state(c, VHOST_USER_SET_VRING_NUM, 2, 256), -EREMOTEIO);
	assert_int_equal(vu_ack_state(c, VHOST_USER_SET_VRING_NUM, 0, 128), -EREMOTEIO);
	assert_int_equal(vu_ack_state(c, VHOST_USER_SET_VRING_BASE, 2, 0), -EREMOTEIO);
	assert_int_equal(vu_ack_state(c, VHOST_USER_SET_VRING_BASE, 0, 65536), -EREMOTEIO);
	assert_int_equal(vu_ack_state(c, VHOST_USER_SET_VRING_BASE, 0, 5), -EREMOTEIO);
	assert_int_equal(vu_ack_state(c, VHOST_USER_SET_VRING_ENABLE, 2, 1), -EREMOTEIO);
	assert_int_equal(vu_ack_state(c, VHOST_USER_SET_VRING_ENABLE, 0, 2), -EREMOTEIO);
#define ADDR(a_) vu_ack(c, VHOST_USER_SET_VRING_ADDR, &(a_), sizeof(a_), NULL, 0)
	bad = good;
	bad.index = 2;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	bad = good;
	bad.flags = 2;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	bad = good;
	bad.desc += 8;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	bad = good;
	bad.avail += 1;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	bad = good;
	bad.used += 2;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	bad = good;
	bad.desc = VU_USER + c->mem_size - 256 * 16 + 16;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	bad = good;
	bad.avail = VU_USER + c->mem_size - 256 * 2;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	bad = good;
	bad.used = VU_USER - 16;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	bad = good;
	bad.used = UINT64_MAX - 3;
	assert_int_equal(ADDR(bad), -EREMOTEIO);
	/* None of it has changed anything. */
	rig_alive(r, 0, 1);
	assert_int_equal(rig_info(r, 0).rejected, 22);
	rig_stop(r);
}

static void descriptors_must_be_eventfds(void **state)
{
	static const uint32_t requests[] = {VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
					    VHOST_USER_SET_VRING_ERR};
	struct vu *c;
	struct rig *r = start(&c);
	int pipes[2], ev = eventfd(0, EFD_CLOEXEC);
	uint64_t word = 0;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(requests); i++) {
		uint64_t none = VHOST_USER_VRING_NOFD, far = 2, junk = 0x200;

		assert_int_equal(vu_ack(c, requests[i], &word, 8, &pipes[1], 1), -EREMOTEIO);
		assert_int_equal(vu_ack(c, requests[i], &word, 8, &c->mem_fd, 1), -EREMOTEIO);
		assert_int_equal(vu_ack(c, requests[i], &word, 8, NULL, 0), -EREMOTEIO);
		assert_int_equal(vu_ack(c, requests[i], &none, 8, &ev, 1), -EREMOTEIO);
		assert_int_equal(vu_ack(c, requests[i], &far, 8, &ev, 1), -EREMOTEIO);
		assert_int_equal(vu_ack(c, requests[i], &junk, 8, &ev, 1), -EREMOTEIO);
		assert_int_equal(vu_ack(c, requests[i], &none, 8, NULL, 0), 0);
		assert_int_equal(vu_ack(c, requests[i], &word, 8, &ev, 1), 0);
	}
	fd_close_all(pipes, 2);
	close(ev);
	alive_still(r);
}

static void a_ring_without_a_valid_index_has_no_base(void **state)
{
	struct vhost_vring_state s = {99, 0};
	struct vu *c;
	struct rig *r = start(&c);

	(void)state;
	assert_int_equal(vu_send(c, VHOST_USER_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0), 0);
	lost_only_that(r);
}

static void a_log_that_is_not_there_costs_the_connection(void **state)
{
	struct vu *c;
	struct rig *r = start(&c);
	struct vhost_user_log l = {c->mem_size + 1, 0};

	(void)state;
	assert_int_equal(vu_send(c, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &c->mem_fd, 1), 0);
	lost_only_that(r);
}

static void in_flight_areas_are_checked(void **state)
{
	struct vu *c;
	struct rig *r = start(&c);
	struct vhost_user_inflight f = {.n_queues = 2, .queue_size = 256}, bad;
	uint32_t room = sizeof(f);
	int fd;

	(void)state;
	assert_int_equal(vu_send(c, VHOST_USER_GET_INFLIGHT_FD, 0, &f, sizeof(f), NULL, 0), 0);
	assert_int_equal(vu_recv(c, VHOST_USER_GET_INFLIGHT_FD, &f, &room, &fd), 0);
	assert_int_equal(room, sizeof(f));
	assert_int_equal(f.mmap_size, 2 * ((16 + 256 * 16 + 63) / 64 * 64));
	assert_true(fd >= 0);
	assert_int_equal(vu_ack(c, VHOST_USER_SET_INFLIGHT_FD, &f, sizeof(f), &fd, 1), 0);
	bad = f;
	bad.n_queues = 3;
	assert_int_equal(vu_ack(c, VHOST_USER_SET_INFLIGHT_FD, &bad, sizeof(bad), &fd, 1),
			 -EREMOTEIO);
	bad = f;
	bad.queue_size = 0;
	assert_int_equal(vu_ack(c, VHOST_USER_SET_INFLIGHT_FD, &bad, sizeof(bad), &fd, 1),
			 -EREMOTEIO);
	bad = f;
	bad.mmap_size--;
	assert_int_equal(vu_ack(c, VHOST_USER_SET_INFLIGHT_FD, &bad, sizeof(bad), &fd, 1),
			 -EREMOTEIO);
	bad = f;
	bad.mmap_offset = 4096;
	assert_int_equal(vu_ack(c, VHOST_USER_SET_INFLIGHT_FD, &bad, sizeof(bad), &fd, 1),
			 -EREMOTEIO);
	bad = f;
	bad.mmap_offset = 8;
	assert_int_equal(vu_ack(c, VHOST_USER_SET_INFLIGHT_FD, &bad, sizeof(bad), &fd, 1),
			 -EREMOTEIO);
	close(fd);
	f.queue_size = 40000;
	assert_int_equal(vu_send(c, VHOST_USER_GET_INFLIGHT_FD, 0, &f, sizeof(f), NULL, 0), 0);
	lost_only_that(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_and_protocol_features_are_offered),
		cmocka_unit_test(an_mtu_is_offered_and_features_can_be_withheld),
		cmocka_unit_test(a_feature_that_is_not_offered_is_refused),
		cmocka_unit_test(a_refusal_that_nobody_asked_to_hear_ends_the_connection),
		cmocka_unit_test(features_do_not_change_under_running_rings),
		cmocka_unit_test(queues_slots_and_status_are_told),
		cmocka_unit_test(the_configuration_space_is_the_net_devices),
		cmocka_unit_test(an_mtu_can_be_set_within_bounds),
		cmocka_unit_test(every_message_of_a_wrong_form_costs_the_connection),
		cmocka_unit_test(messages_that_do_not_exist_cost_the_connection),
		cmocka_unit_test(a_wrong_header_costs_the_connection),
		cmocka_unit_test(what_was_not_negotiated_costs_the_connection),
		cmocka_unit_test(without_reply_ack_there_is_no_answer),
		cmocka_unit_test(a_message_may_come_byte_by_byte),
		cmocka_unit_test(a_client_that_reads_no_replies_loses_its_connection),
		cmocka_unit_test(a_flood_of_messages_leaves_turns_to_others),
		cmocka_unit_test(half_a_message_and_good_bye),
		cmocka_unit_test(memory_tables_are_checked),
		cmocka_unit_test(rings_are_checked),
		cmocka_unit_test(descriptors_must_be_eventfds),
		cmocka_unit_test(a_ring_without_a_valid_index_has_no_base),
		cmocka_unit_test(a_log_that_is_not_there_costs_the_connection),
		cmocka_unit_test(in_flight_areas_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
